import { createHash } from 'node:crypto'
import { dirname, resolve } from 'node:path'
import { clusterOf, unreadable } from './cluster.ts'
import { denied } from './deny.ts'
import { bind } from './edge/bind.ts'
import type { Identifier } from './identity/identify.ts'
import type { Logout } from './identity/logout-token.ts'
import type { LoadedConfig } from './load.ts'
import type { Audit } from './model/audit.ts'
import type { Deps } from './model/deps.ts'
import type { Finding } from './model/finding.ts'
import { Refusal } from './model/problem.ts'
import type { Entry } from './revocation/entry.ts'
import { type Kept, readKept } from './revocation/file.ts'
import { createLogoutServer, type LogoutAnswer } from './revocation/logout.ts'
import { Revocation } from './revocation/revocation.ts'
import { createShare } from './revocation/share.ts'
import { configFinding } from './settings.ts'

/** Where the control socket and what outlives a restart are. */
export const stateOf = ({ config, file }: LoadedConfig, defaultState: string): string =>
  config.state === null ? defaultState : resolve(dirname(resolve(file)), config.state)

/** The deny list as it was left, or why nothing may be served without it. */
export const openRevocation = async (loaded: LoadedConfig, state: string, deps: Deps): Promise<Revocation | readonly Finding[]> => {
  const { share, 'poll-every': pollEvery, 'max-age': maxAge } = loaded.config.revocation
  const missing = share === 'none' ? [] : await unreadable(loaded)
  if (missing.length > 0) return missing
  const kept = await readKept(state).catch((fault: unknown) => (fault instanceof Error ? fault.message : String(fault)))
  if (typeof kept === 'string') return [configFinding(loaded.file, 'C301', kept)]
  const group = loaded.config.cassandra?.group ?? 'default'
  const shared = share === 'none' ? null : createShare({ connect: clusterOf(loaded, deps), group })
  return new Revocation({ ...deps, state, kept: kept satisfies Kept, share: shared, pollEvery, maxAge })
}

export interface LogoutParts {
  readonly deps: Deps
  readonly identifier: Pick<Identifier, 'logout'>
  readonly revocation: Revocation
  readonly audit: Pick<Audit, 'event'>
}

export interface LogoutListener {
  close(): Promise<void>
}

/** Opens the listener of back-channel logout; null where none is configured. Rejects with the system's error. */
export const listenLogout = async (
  { config: { revocation: settings } }: LoadedConfig,
  parts: LogoutParts,
): Promise<LogoutListener | null> => {
  const { logout } = settings
  if (logout === null) return null
  const clients = (issuer: string): string[] => logout.clients.filter(one => one.issuer === issuer).map(one => one['client-id'])
  const server = createLogoutServer(token => acceptLogout(parts, token, clients))
  await bind(server, logout.listen)
  return {
    close: () =>
      new Promise(done => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

const acceptLogout = async (
  { deps, identifier, revocation, audit }: LogoutParts,
  token: string,
  clients: (issuer: string) => readonly string[],
): Promise<LogoutAnswer> => {
  const logout = await identifier.logout(token, clients)
  if (logout instanceof Refusal) {
    const { row, code, detail } = logout
    deps.log.warn({ code, reason: row.reason, detail }, 'a logout token was refused')
    return row.status === 503 ? 'temporarily_unavailable' : 'invalid_request'
  }
  const answers = await Promise.all(endedBy(logout, deps.clock.now()).map(entry => denied({ clock: deps.clock, revocation, audit }, entry)))
  // Who may have logged out for nobody else, or not at all after a restart, must be told to try again.
  const whole = answers.every(answer => 'entry' in answer && answer.notKept === null)
  return whole ? 'done' : 'temporarily_unavailable'
}

/**
 * Section 2.4: a subject alone ends all sessions of the person, a session only itself. Tokens of a person who has signed in since are good.
 * Access tokens often do not name their session: those of the person from before the logout end with it, as they may be of that session.
 */
const endedBy = ({ issuer, subject, session, issuedAt, lasts }: Logout, now: number): readonly Entry[] => {
  const entry = (kind: 'sid' | 'subject', value: string): Entry => ({
    // The same logout, told twice, is one entry.
    id: `logout-${createHash('sha256')
      .update(JSON.stringify([kind, issuer, value, session]))
      .digest('hex')
      .slice(0, 24)}`,
    kind,
    value,
    issuer,
    issuedUntil: kind === 'sid' ? null : issuedAt,
    withoutSession: kind === 'subject' && session !== null,
    at: now,
    until: now + lasts,
    why: 'back-channel logout',
    by: 'logout',
    removed: false,
  })
  return [...(session === null ? [] : [entry('sid', session)]), ...(subject === null ? [] : [entry('subject', subject)])]
}
