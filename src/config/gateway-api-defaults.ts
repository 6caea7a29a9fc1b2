// What the API server writes into a Gateway API object that leaves it out (the CRDs' defaults), where it changes
// what the object means. Files have not been through an API server.
import type {
  CorsFilter,
  HttpRouteMatch,
  HttpRouteRule,
  HttpRouteSpec,
  KubeGatewaySpec,
  RouteFilter,
} from './gateway-api-types.ts';

type KubeObject = Readonly<Record<string, unknown>>;

const wholePath: HttpRouteMatch = { path: { type: 'PathPrefix', value: '/' } };

/** By kind: the object with its defaults. The object's structure has been found right. */
export const gatewayApiDefaults: Readonly<Record<string, (object: KubeObject) => KubeObject>> = {
  Gateway: (object) => ({ ...object, spec: gatewayDefaults(object['spec'] as KubeGatewaySpec) }),
  HTTPRoute: (object) => ({ ...object, spec: httpRouteDefaults(object['spec'] as HttpRouteSpec) }),
};

function gatewayDefaults(spec: KubeGatewaySpec): KubeGatewaySpec {
  const { addresses } = spec;
  if (addresses === undefined) return spec;
  return { ...spec, addresses: addresses.map((address) => ({ type: 'IPAddress', ...address })) };
}

function httpRouteDefaults(spec: HttpRouteSpec): HttpRouteSpec {
  return { ...spec, rules: (spec.rules ?? [{}]).map(ruleDefaults) };
}

function ruleDefaults(rule: HttpRouteRule): HttpRouteRule {
  const { matches = [wholePath], filters, backendRefs } = rule;
  return {
    ...rule,
    matches: matches.map(({ path, ...match }) => ({ ...match, path: { ...wholePath.path, ...path } })),
    ...(filters === undefined ? {} : { filters: filters.map(filterDefaults) }),
    ...(backendRefs === undefined
      ? {}
      : {
          backendRefs: backendRefs.map((backend) =>
            backend.filters === undefined
              ? backend
              : { ...backend, filters: backend.filters.map(filterDefaults) },
          ),
        }),
  };
}

function filterDefaults(filter: RouteFilter): RouteFilter {
  const { requestRedirect, cors } = filter;
  return {
    ...filter,
    ...(requestRedirect === undefined ? {} : { requestRedirect: { statusCode: 302, ...requestRedirect } }),
    ...(cors === undefined ? {} : { cors: { maxAge: 5, ...cors } satisfies CorsFilter }),
  };
}
