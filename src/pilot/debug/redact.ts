// What of a resource no page may show.
import type { JsonObject } from '@bufbuild/protobuf';
import { typeUrls } from '../../xds/types.ts';

/** As istiod writes it, in the place of a key: bytes, so base64. */
const redacted = { inlineBytes: Buffer.from('[redacted]').toString('base64') };

/** The resource's JSON without private keys. */
export function withoutKeys(typeUrl: string, json: JsonObject): JsonObject {
  if (typeUrl !== typeUrls.secret) return json;
  const { tlsCertificate, validationContext, name = '' } = json;
  const certificate = tlsCertificate as JsonObject | undefined;
  // Whatever else a Secret message may hold one day is left out until somebody has thought of it.
  return {
    name,
    ...(validationContext === undefined ? {} : { validationContext }),
    ...(certificate === undefined
      ? {}
      : {
          tlsCertificate: {
            ...(certificate['certificateChain'] === undefined
              ? {}
              : { certificateChain: certificate['certificateChain'] }),
            privateKey: redacted,
          },
        }),
  };
}
