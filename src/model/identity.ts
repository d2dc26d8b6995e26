/** A validated caller. One frozen object for each verified token, shared by all requests that carry it. */
export interface Identity {
  readonly issuer: string
  /** `sub`: the person or workload, also behind an agent. */
  readonly subject: string
  readonly audiences: readonly string[]
  /** `scope` (space separated) or `scp` (list or string), split. */
  readonly scopes: readonly string[]
  /** RFC 8693 actors, outermost (the current one) first; empty when the caller acts in person. */
  readonly agents: readonly string[]
  /** The verified payload. */
  readonly claims: Readonly<Record<string, unknown>>
  /** Milliseconds since the epoch at which the token ends (`exp`, without tolerance). */
  readonly expiresAt: number
}

/** The caller of what is decided without a token: nobody. */
export const nobody: Identity = Object.freeze({
  issuer: '',
  subject: '',
  audiences: [],
  scopes: [],
  agents: [],
  claims: Object.freeze({}),
  expiresAt: 0,
})
