// Cluster.dns_jitter, which is younger than our descriptors of Envoy's messages.
import { toBinary } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { WireType } from '@bufbuild/protobuf/wire';
import type { Cluster } from '../../api/gen/envoy/config/cluster/v3/cluster_pb.js';
import { durationOfMs } from '../proto-values.ts';

/** The field's number in envoy.config.cluster.v3.Cluster. */
const fieldNumber = 58;

/**
 * Spreads a DNS cluster's queries over 100 ms more than its refresh rate, so that the proxies of a mesh do not all ask at
 * once. Changes the message. Istio: PILOT_DNS_JITTER_DURATION.
 */
export function addDnsJitter(cluster: Cluster): void {
  const jitter = toBinary(DurationSchema, durationOfMs(100));
  cluster.$unknown = [
    ...(cluster.$unknown ?? []),
    // On the wire the length comes first: it is less than 128, so one byte.
    { no: fieldNumber, wireType: WireType.LengthDelimited, data: Uint8Array.of(jitter.length, ...jitter) },
  ];
}
