// Access logs: compiled once from configuration, then called with what happened to one request or
// connection. The line is made of closures and written into a preallocated buffer.
import type { AccessLog } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import { AccessLogSchema } from '../../api/gen/envoy/config/accesslog/v3/accesslog_pb.js';
import type { SubstitutionFormatString } from '../../api/gen/envoy/config/core/v3/substitution_format_string_pb.js';
import { FileAccessLogSchema } from '../../api/gen/envoy/extensions/access_loggers/file/v3/file_pb.js';
import {
  StderrAccessLogSchema,
  StdoutAccessLogSchema,
} from '../../api/gen/envoy/extensions/access_loggers/stream/v3/stream_pb.js';
import { typeUrlOf, unpackAs } from '../../api/any.ts';
import { ConfigError } from '../config-error.ts';
import { refuseFields } from '../refuse-fields.ts';
import type { StreamInfo } from '../stream-info.ts';
import type { FileSinks } from './file-sink.ts';
import { compileLogFilter } from './log-filter.ts';
import type { LineFormat } from './log-format.ts';
import { compileJsonFormat, compileTextFormat, defaultTextFormat } from './log-format.ts';

/** Takes the record of one finished request or connection; it keeps nothing of it. */
export interface AccessLogger {
  log(info: StreamInfo): void;
}

/** What the compiler needs around it. */
export interface AccessLogContext {
  /** The open files, shared by all that log to one path. */
  readonly sinks: FileSinks;
  /** For %HOSTNAME%. */
  readonly hostname: string;
  /** For %ENVIRONMENT(X)%; read once when the log is compiled. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** A number in [0, 1), for runtime fractions. */
  readonly random: () => number;
}

/** Writes nothing: for a connection manager without access logs. */
export const noAccessLog: AccessLogger = { log: () => {} };

/** One logger for all of `configs`. Throws ConfigError for what is not supported, and for files that cannot be opened. */
export function compileAccessLogs(configs: readonly AccessLog[], context: AccessLogContext): AccessLogger {
  const loggers = configs.map((config, index) => compileOne(config, context, `access_log[${index}]`));
  const [only] = loggers;
  if (only === undefined) return noAccessLog;
  if (loggers.length === 1) return only;
  return {
    log: (info) => {
      for (const logger of loggers) logger.log(info);
    },
  };
}

function compileOne(config: AccessLog, context: AccessLogContext, field: string): AccessLogger {
  refuseFields(AccessLogSchema, config, field, new Set(['name', 'filter', 'typed_config']));
  const { path, format } = readTarget(config, context, `${field}.typed_config`);
  const filter =
    config.filter === undefined
      ? undefined
      : compileLogFilter(config.filter, context.random, `${field}.filter`);
  let sink: ReturnType<FileSinks['open']>;
  try {
    sink = context.sinks.open(path);
  } catch (error) {
    throw new ConfigError(`${field}.typed_config.path`, `cannot open ${path}: ${(error as Error).message}`);
  }
  if (filter === undefined) return { log: (info) => sink.write(format(info)) };
  return {
    log: (info) => {
      if (filter(info)) sink.write(format(info));
    },
  };
}

function readTarget(
  config: AccessLog,
  context: AccessLogContext,
  field: string,
): { path: string; format: LineFormat } {
  const any = config.configType.case === 'typedConfig' ? config.configType.value : undefined;
  const file = unpackAs(any, FileAccessLogSchema);
  if (file !== undefined) {
    if (file.path === '') throw new ConfigError(`${field}.path`, 'is required');
    const format = file.accessLogFormat;
    switch (format.case) {
      case 'format':
        return {
          path: file.path,
          format: compileTextFormat(format.value, false, context, `${field}.format`),
        };
      case 'jsonFormat':
      case 'typedJsonFormat':
        return {
          path: file.path,
          format: compileJsonFormat(format.value, false, false, context, `${field}.${format.case}`),
        };
      case 'logFormat':
      case undefined:
        return { path: file.path, format: compileFormatString(format.value, context, `${field}.log_format`) };
    }
  }
  for (const [schema, path] of [
    [StdoutAccessLogSchema, '/dev/stdout'],
    [StderrAccessLogSchema, '/dev/stderr'],
  ] as const) {
    const stream = unpackAs(any, schema);
    if (stream === undefined) continue;
    const format = stream.accessLogFormat.value;
    return { path, format: compileFormatString(format, context, `${field}.log_format`) };
  }
  throw new ConfigError(
    field,
    `${any?.typeUrl ?? 'nothing'} is not supported; use ${typeUrlOf(FileAccessLogSchema)}, StdoutAccessLog or StderrAccessLog`,
  );
}

/** Formatters that are built in here anyway. */
const knownFormatters = new Set(['envoy.formatter.req_without_query']);

function compileFormatString(
  config: SubstitutionFormatString | undefined,
  context: AccessLogContext,
  field: string,
): LineFormat {
  const foreign = config?.formatters.findIndex((formatter) => !knownFormatters.has(formatter.name)) ?? -1;
  if (foreign >= 0) {
    throw new ConfigError(
      `${field}.formatters[${foreign}]`,
      `${config?.formatters[foreign]?.name} is not supported; supported is ${[...knownFormatters].join(', ')}`,
    );
  }
  const omitEmpty = config?.omitEmptyValues ?? false;
  const format = config?.format;
  switch (format?.case) {
    case undefined:
      return compileTextFormat(defaultTextFormat, omitEmpty, context, field);
    case 'textFormat':
      return compileTextFormat(format.value, omitEmpty, context, `${field}.text_format`);
    case 'textFormatSource': {
      const { specifier } = format.value;
      if (specifier.case !== 'inlineString') {
        throw new ConfigError(
          `${field}.text_format_source.${specifier.case ?? 'specifier'}`,
          'is not supported; use inline_string',
        );
      }
      return compileTextFormat(specifier.value, omitEmpty, context, `${field}.text_format_source`);
    }
    case 'jsonFormat':
    default:
      return compileJsonFormat(
        format?.value ?? {},
        omitEmpty,
        config?.jsonFormatOptions?.sortProperties ?? false,
        context,
        `${field}.json_format`,
      );
  }
}
