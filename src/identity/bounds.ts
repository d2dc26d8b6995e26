/** Every wait, queue and cache of this folder has its bound here. Durations in milliseconds. */
export interface Bounds {
  /** Discovery and JWKS together, from the first connect to the last byte. */
  readonly fetchDeadline: number
  /** How long one request waits for a fetch under way before it is answered 503. */
  readonly requestWait: number
  /** Requests of one issuer that wait at once; the next is answered 503: tokens with made-up keys must not take every place. */
  readonly waiting: number
  readonly refreshEvery: number
  /** Wait after the first failed fetch; doubles up to `retryMax`. */
  readonly retryMin: number
  readonly retryMax: number
  /**
   * How long keys outlive the last good fetch. A day: a provider's outage over a night refuses nobody, while a key withdrawn by
   * a provider whose answers cannot reach us ends no later than the longest token signed with it.
   */
  readonly staleFor: number
  /** Refreshes that unknown keys may cause: so many at once, then one each `bucketEvery`. */
  readonly bucketBurst: number
  readonly bucketEvery: number
  /** Bytes of a metadata document or a JWKS. */
  readonly documentBytes: number
  readonly documentKeys: number
  /** Verified tokens. */
  readonly cacheEntries: number
  readonly cacheBytes: number
  readonly verifyAgainAfter: number
  /** Refused tokens, only those refused under a known key. */
  readonly failureEntries: number
  readonly failureBytes: number
  readonly failureFor: number
  /** Answers about tokens of one issuer that were introspected, the calls for them under way, and the bytes of one. */
  readonly introspectionEntries: number
  readonly introspectionBytes: number
  readonly introspectionCalls: number
  readonly answerBytes: number
  /** DPoP proofs remembered: so many requests in the time that a proof is good for. */
  readonly proofs: number
  /** Assertions of the gateway remembered. */
  readonly gatewayAssertions: number
  /** Signed requests of AWS callers remembered; calls of AWS under way, at once and then one each interval; one call's time and the bytes of its answer. */
  readonly awsRequests: number
  readonly awsCalls: number
  readonly awsBurst: number
  readonly awsEvery: number
  readonly awsDeadline: number
  readonly awsBytes: number
  /** Half of the time for which a nonce is surely good. */
  readonly nonceSpan: number
}

export const defaultBounds: Bounds = Object.freeze({
  fetchDeadline: 5_000,
  requestWait: 2_000,
  waiting: 64,
  refreshEvery: 600_000,
  retryMin: 1_000,
  retryMax: 10_000,
  staleFor: 86_400_000,
  bucketBurst: 3,
  bucketEvery: 10_000,
  documentBytes: 150 * 1024,
  documentKeys: 100,
  cacheEntries: 10_000,
  cacheBytes: 64 * 1024 * 1024,
  verifyAgainAfter: 300_000,
  failureEntries: 1_000,
  failureBytes: 4 * 1024 * 1024,
  failureFor: 5_000,
  introspectionEntries: 10_000,
  introspectionBytes: 16 * 1024 * 1024,
  introspectionCalls: 32,
  answerBytes: 64 * 1024,
  proofs: 400_000,
  gatewayAssertions: 400_000,
  awsRequests: 20_000,
  awsCalls: 16,
  awsBurst: 20,
  awsEvery: 100,
  awsDeadline: 5_000,
  awsBytes: 16 * 1024,
  nonceSpan: 120_000,
})
