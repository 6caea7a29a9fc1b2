// Percentages: envoy.type.v3.FractionalPercent as numbers in [0, 1].
import { unknownEnum } from '../config-error.ts';
import type { RuntimeFractionalPercent } from '../../api/gen/envoy/config/core/v3/base_pb.js';
import type { FractionalPercent } from '../../api/gen/envoy/type/v3/percent_pb.js';
import { FractionalPercent_DenominatorType as Denominator } from '../../api/gen/envoy/type/v3/percent_pb.js';

/** `fallback` where there is none. */
export function fractionOf(percent: FractionalPercent | undefined, fallback: number): number {
  if (percent === undefined) return fallback;
  switch (percent.denominator) {
    case Denominator.HUNDRED:
      return Math.min(1, percent.numerator / 100);
    case Denominator.TEN_THOUSAND:
      return Math.min(1, percent.numerator / 10_000);
    case Denominator.MILLION:
      return Math.min(1, percent.numerator / 1_000_000);
    default:
      throw unknownEnum('percentage.denominator', percent.denominator);
  }
}

/** The default value: there is no runtime layer that could override it here. */
export function runtimeFractionOf(fraction: RuntimeFractionalPercent | undefined, fallback: number): number {
  return fraction === undefined ? fallback : fractionOf(fraction.defaultValue, fallback);
}
