import type { Secret } from './secret.ts'

/**
 * What a login attempt showed. `refused`: a node decided and said no. `powerless`: let in, but no member of the role that was asked about.
 * `unknown`: no node could decide, so it proves nothing.
 */
export type LoginProof = 'ok' | 'refused' | 'powerless' | 'unknown'

export interface LoginTarget {
  /** That node alone; default: any. */
  readonly host?: string
  /** The login must also be a member of this role. */
  readonly memberOf?: string
}

export type CqlRow = Readonly<Record<string, unknown>>

/**
 * A statement that did not answer with rows. `code` is the protocol's error code; null where no answer came, and then
 * the statement may have been applied, or may yet be.
 */
export class CqlFault extends Error {
  readonly code: number | null

  constructor(code: number | null, message: string) {
    super(message)
    this.name = 'CqlFault'
    this.code = code
  }
}

export interface ExecuteOptions {
  /** One of `hosts()`: only that node coordinates (virtual tables are local to a node). */
  readonly host?: string
  /** A condition is judged by the own data centre alone, so that it can be while others are away. */
  readonly alone?: boolean
}

/** One authenticated connection pool to a cluster, as `credentials/` and data routes use it. Every call has a deadline. */
export interface CassandraSession {
  /** Rejects with a CqlFault. */
  execute(cql: string, params?: readonly unknown[], options?: ExecuteOptions): Promise<readonly CqlRow[]>
  /** Addresses of the nodes that are up, `ip:port`. */
  hosts(): readonly string[]
  /** Monotonic milliseconds since which a node of `hosts()` has been up without a break, as far as this session saw. */
  upSince(host: string): number
  /** Logs in afresh and uses the login once. Never rejects. */
  login(username: string, password: Secret, target?: LoginTarget): Promise<LoginProof>
  /** Opens a connection as that login on that node and keeps it. Null where it is not let in. Never rejects. */
  hold(username: string, password: Secret, host: string): Promise<HeldLogin | null>
  close(): Promise<void>
}

/** One login's open connection to one node. */
export interface HeldLogin {
  /** Rejects with a CqlFault. */
  execute(cql: string, params?: readonly unknown[]): Promise<readonly CqlRow[]>
  /** What the statement shows now. Never rejects. */
  use(cql: string): Promise<LoginProof>
  close(): Promise<void>
}
