// Access log filters: which requests are logged.
import type {
  AccessLogFilter,
  ComparisonFilter,
} from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { ComparisonFilter_Op } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { ConfigError } from '../config-error.ts';
import { fractionOf } from '../matchers/fraction.ts';
import { compileHeaderMatcher } from '../matchers/header.ts';
import { withoutQuery } from '../matchers/input.ts';
import type { HeaderReader, ResponseFlag, StreamInfo } from '../stream-info.ts';
import { flagBits, responseFlagNames } from '../stream-info.ts';

export type LogFilter = (info: StreamInfo) => boolean;

/** Throws ConfigError for filters that are not supported. */
export function compileLogFilter(
  filter: AccessLogFilter | undefined,
  random: () => number,
  field: string,
): LogFilter {
  const specifier = filter?.filterSpecifier;
  switch (specifier?.case) {
    case undefined:
      return () => true;
    case 'statusCodeFilter': {
      const compare = compileComparison(specifier.value.comparison, `${field}.status_code_filter`);
      return (info) => compare(info.responseCode);
    }
    case 'durationFilter': {
      const compare = compileComparison(specifier.value.comparison, `${field}.duration_filter`);
      return (info) => compare(Math.floor(info.endMonotonicMs - info.startMonotonicMs));
    }
    case 'notHealthCheckFilter':
      // No filter here marks requests as health checks.
      return () => true;
    case 'runtimeFilter': {
      const share = fractionOf(specifier.value.percentSampled, 0);
      return () => random() < share;
    }
    case 'andFilter': {
      const all = specifier.value.filters.map((inner, index) =>
        compileLogFilter(inner, random, `${field}.and_filter.filters[${index}]`),
      );
      return (info) => all.every((matches) => matches(info));
    }
    case 'orFilter': {
      const some = specifier.value.filters.map((inner, index) =>
        compileLogFilter(inner, random, `${field}.or_filter.filters[${index}]`),
      );
      return (info) => some.some((matches) => matches(info));
    }
    case 'headerFilter': {
      const { header } = specifier.value;
      if (header === undefined) throw new ConfigError(`${field}.header_filter.header`, 'is required');
      const matches = compileHeaderMatcher(header, `${field}.header_filter.header`);
      return (info) =>
        matches({
          method: info.method ?? '',
          authority: info.authority ?? '',
          path: info.path ?? '',
          pathOnly: withoutQuery(info.path ?? ''),
          scheme: 'http',
          headers: info.requestHeaders ?? noHeaders,
          tls: false,
          random,
        });
    }
    case 'responseFlagFilter': {
      const { flags } = specifier.value;
      if (flags.length === 0) return (info) => info.responseFlags !== 0;
      const bits = flags.reduce((sum, flag) => sum | flagBit(flag, `${field}.response_flag_filter.flags`), 0);
      return (info) => (info.responseFlags & bits) !== 0;
    }
    case 'traceableFilter':
    case 'grpcStatusFilter':
    case 'extensionFilter':
    case 'metadataFilter':
    case 'logTypeFilter':
    default:
      throw new ConfigError(`${field}.${specifier?.case ?? ''}`, 'is not supported by this proxy');
  }
}

const noHeaders: HeaderReader = { get: () => undefined, some: () => undefined };

function flagBit(flag: string, field: string): number {
  if (!(responseFlagNames as readonly string[]).includes(flag)) {
    throw new ConfigError(field, `${flag} is not a response flag; they are ${responseFlagNames.join(', ')}`);
  }
  return flagBits[flag as ResponseFlag];
}

function compileComparison(
  comparison: ComparisonFilter | undefined,
  field: string,
): (value: number) => boolean {
  if (comparison?.value === undefined) throw new ConfigError(`${field}.comparison`, 'is required');
  const wanted = comparison.value.defaultValue;
  switch (comparison.op) {
    case ComparisonFilter_Op.EQ:
      return (value) => value === wanted;
    case ComparisonFilter_Op.GE:
      return (value) => value >= wanted;
    case ComparisonFilter_Op.LE:
    default:
      return (value) => value <= wanted;
  }
}
