// Small protobuf values that many resources hold: durations, percentages, string matchers, Any.
import type { DescMessage, MessageInitShape } from '@bufbuild/protobuf';
import { create } from '@bufbuild/protobuf';
import type { Any, Duration } from '@bufbuild/protobuf/wkt';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { packAny } from '../api/any.ts';
import type { Metadata, RuntimeFractionalPercent } from '../api/gen/envoy/config/core/v3/base_pb.js';
import { MetadataSchema, RuntimeFractionalPercentSchema } from '../api/gen/envoy/config/core/v3/base_pb.js';
import type { FractionalPercent } from '../api/gen/envoy/type/v3/percent_pb.js';
import {
  FractionalPercent_DenominatorType,
  FractionalPercentSchema,
} from '../api/gen/envoy/type/v3/percent_pb.js';
import { parseDurationNs } from '../model/duration.ts';

/** `nanoseconds` may have no fraction. */
function durationOfNs(nanoseconds: number): Duration {
  const seconds = Math.trunc(nanoseconds / 1e9);
  return create(DurationSchema, {
    seconds: BigInt(seconds),
    nanos: Math.round(nanoseconds - seconds * 1e9),
  });
}

export function durationOfMs(milliseconds: number): Duration {
  return durationOfNs(Math.round(milliseconds * 1e6));
}

/** A duration that a user wrote; undefined where there is none, or one that validation should have refused. */
export function durationOf(text: string | undefined): Duration | undefined {
  const nanoseconds = text === undefined ? undefined : parseDurationNs(text);
  return nanoseconds === undefined ? undefined : durationOfNs(nanoseconds);
}

export function pack<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): Any {
  return packAny(schema, create(schema, init));
}

/** As pack, at the first call; from then on the same message, which nobody may change: for what all resources share. */
export function packOnce<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): () => Any {
  let packed: Any | undefined;
  return () => (packed ??= pack(schema, init));
}

/** A percentage with up to four decimals, as Istio's `Percent` has them. */
export function percentOf(value: number): FractionalPercent {
  return create(FractionalPercentSchema, {
    // Rounded, for 0.29 * 10000 is 2899.9999999999995.
    numerator: Math.round(value * 10_000),
    denominator: FractionalPercent_DenominatorType.MILLION,
  });
}

/** Whole percents. */
export function wholePercentOf(value: number): FractionalPercent {
  return create(FractionalPercentSchema, {
    numerator: value,
    denominator: FractionalPercent_DenominatorType.HUNDRED,
  });
}

export function runtimePercent(defaultValue: FractionalPercent): RuntimeFractionalPercent {
  return create(RuntimeFractionalPercentSchema, { defaultValue });
}

/** What of an object's identity goes into `metadata.filter_metadata.istio.config`. */
export interface ConfigIdentity {
  readonly kind: 'VirtualService' | 'DestinationRule' | 'Sidecar';
  readonly version: string;
  readonly namespace: string;
  readonly name: string;
}

const kebabKinds: Readonly<Record<ConfigIdentity['kind'], string>> = {
  VirtualService: 'virtual-service',
  DestinationRule: 'destination-rule',
  Sidecar: 'sidecar',
};

/** `/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews`, by which telemetry names the rule. */
export function configMetadata(identity: ConfigIdentity): Metadata {
  const { kind, version, namespace, name } = identity;
  const config = `/apis/networking.istio.io/${version}/namespaces/${namespace}/${kebabKinds[kind]}/${name}`;
  return create(MetadataSchema, { filterMetadata: { istio: { config } } });
}
