// ProxyConfig: what Istio demands beyond the structure.
// Source: Istio pkg/config/validation (behaviour of 1.32).
import type { ProxyConfigSpec } from '../../api/gen/istio-types.js';
import { Checker } from './checker.ts';
import { checkSelectorLabels } from './rules.ts';
import type { Validator } from './validator.ts';

export const validateProxyConfig: Validator = (object, _meta, report) => {
  const { selector, concurrency = 0, environmentVariables = {}, image } = object['spec'] as ProxyConfigSpec;
  const checker = new Checker(report, ['spec']);
  checkSelectorLabels(selector?.matchLabels, checker.at('selector', 'matchLabels'));
  if (concurrency < 0) checker.at('concurrency').error('concurrency must be greater than or equal to 0');
  for (const name of Object.keys(environmentVariables))
    // What no operating system takes as a variable, no proxy can be started with.
    if (name === '' || /[=\0]/.test(name))
      checker.at('environmentVariables', name).error(`"${name}" cannot be the name of a variable`);
  if (image !== undefined)
    checker
      .at('image')
      .warn('has no effect on local pods: no image is pulled, the proxy is what --data-plane says');
};
