// Ingress: Kubernetes' own rules (pkg/apis/networking/validation), and what Istio makes nothing of.
import type { IngressBackend, IngressRule, IngressSpec } from '../ingress-types.ts';
import { Checker, each } from './checker.ts';
import { checkHostname } from './gateway-api.ts';
import type { Validator } from './validator.ts';

export const validateIngress: Validator = (object, _meta, report) => {
  const spec = object['spec'] as IngressSpec;
  const checker = new Checker(report, ['spec']);
  if ((spec.rules ?? []).length === 0 && spec.defaultBackend === undefined)
    checker.error('either defaultBackend or rules must be set');
  if (spec.defaultBackend !== undefined) {
    checkBackend(spec.defaultBackend, checker.at('defaultBackend'));
    checker
      .at('defaultBackend')
      .warn('has no effect, as in Istio: write a rule without a host, with the path /', 'no-effect');
  }
  for (const [tls, place] of each(spec.tls, checker, 'tls')) {
    for (const [host, at] of each(tls.hosts, place, 'hosts')) checkHostname(host, at);
    if ((tls.secretName ?? '') === '')
      place.warn('has no effect, as in Istio: there is no secretName', 'no-effect');
  }
  for (const [rule, place] of each(spec.rules, checker, 'rules')) checkRule(rule, place);
};

function checkRule({ host, http }: IngressRule, checker: Checker): void {
  if (host !== undefined && host !== '') checkHostname(host, checker.at('host'));
  if (http === undefined) {
    checker.warn('has no effect, as in Istio: there are no paths', 'no-effect');
    return;
  }
  const place = checker.at('http');
  if (http.paths.length === 0) place.at('paths').error('must have at least one path');
  for (const [{ path = '', pathType, backend }, at] of each(http.paths, place, 'paths')) {
    checkBackend(backend, at.at('backend'));
    if (pathType === undefined)
      at.warn('Kubernetes asks for a pathType; without it, a path that ends in /* is a prefix');
    else if (pathType !== 'ImplementationSpecific') checkPath(path, pathType, at.at('path'));
    else if (path !== '' && !path.startsWith('/')) at.at('path').error(`must begin with /, not be "${path}"`);
  }
}

function checkPath(path: string, pathType: string, checker: Checker): void {
  if (!path.startsWith('/')) checker.error(`must begin with /, not be "${path}"`);
  const bad = ['//', '/./', '/../', '%2f', '%2F'].find((part) => path.includes(part));
  if (bad !== undefined) checker.error(`must not contain ${bad} where pathType is ${pathType}`);
  else if (path.endsWith('/..') || path.endsWith('/.')) checker.error('must not end with /. or /..');
}

function checkBackend({ service, resource }: IngressBackend, checker: Checker): void {
  if (resource !== undefined) {
    if (service !== undefined) checker.error('must have either service or resource, not both');
    else checker.at('resource').unsupported('is not supported, as in Istio; accepted: service');
    return;
  }
  if (service === undefined) {
    checker.error('service must be set');
    return;
  }
  const { number, name } = service.port ?? {};
  if ((number === undefined) === (name === undefined))
    checker.at('service').error('port must have either number or name');
}
