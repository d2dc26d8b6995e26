import type { Secret } from './secret.ts'

/** One generation of a permission role's login, as handed to a backend. */
export interface Credential {
  /** Permission role that the policy named. */
  readonly role: string
  /** Login role: the slot. */
  readonly username: string
  readonly password: Secret
  /** Counts up by one with each rotation of the role. */
  readonly generation: number
  /** Milliseconds since the epoch after which the login is not promised to work. */
  readonly notAfter: number
  /** Milliseconds since the epoch at which the next generation is expected; Infinity where nobody can say. */
  readonly nextAt: number
}

/** Public JWK of a backend to which credentials are sealed (RFC 7517). */
export interface RecipientKey {
  readonly jwk: Readonly<Record<string, string>>
}

/** Why no credential can be handed out now. */
export interface Unavailable {
  readonly unavailable: 'credential-unavailable' | 'credential-no-lease'
  readonly detail: string
}

/** The contract of every credential provider. `current` is synchronous and does no I/O: it runs on the hot path. */
export interface CredentialProvider {
  current(role: string): Credential | Unavailable
  /** Names every role that policies use now; the provider prepares new ones and retires the dropped ones in the background. */
  roles(roles: readonly string[]): void
  /** Operational state for `status`, `/readyz` detail and metrics; no secrets. */
  status(): readonly CredentialStatus[]
  close(): Promise<void>
}

export interface CredentialStatus {
  readonly role: string
  /** Handed out now; 0: none. */
  readonly generation: number
  /** Login role; empty: none. */
  readonly slot: string
  /** `degraded`: its time is over, it still works, and no next one could be made. `cut`: an operator ended it. */
  readonly state: 'current' | 'degraded' | 'preparing' | 'no-lease' | 'unavailable' | 'cut'
  /** Milliseconds since the epoch; 0: none. */
  readonly notAfter: number
  readonly nextAt: number
  /** Connections of older generations that are still open; null: nobody here can tell. */
  readonly onPrevious: number | null
  /**
   * What `postern credentials cut` would end here beside new logins: open connections, their access to the role's data, or neither. `unknown` also
   * where Postern makes no credentials.
   */
  readonly cutEnds: 'connections' | 'data' | 'logins' | 'unknown'
  /** The process that makes the role's credentials; empty: this one, or nobody yet. */
  readonly holder: string
  readonly detail: string
}
