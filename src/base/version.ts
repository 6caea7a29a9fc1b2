// What this program says of itself.

/** The release of Fairlead; the build checks that it equals package.json's. */
export const fairleadVersion = '0.1.0';

/** The Istio release whose behaviour and names we follow; proxies report it as ISTIO_VERSION. */
export const istioCompatVersion = '1.32.0';
