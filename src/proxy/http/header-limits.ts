// Bounds of a message head that no configuration can raise: buffers are sized by them.

/** Envoy's default of `max_headers_count`: a message with more is refused. */
export const headersMax = 100;

/** Envoy's default of `max_request_headers_kb`, here also for responses. */
export const headBytesMax = 60 * 1024;
