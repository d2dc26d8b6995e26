import type { CredentialSource } from './credential-source.ts'
import type { Acts, CutDone } from './credentials/acts.ts'
import type { Audit, EventEntry } from './model/audit.ts'
import type { Deps } from './model/deps.ts'
import { eventCodes } from './record/codes.ts'

type Body = Readonly<Record<string, unknown>>

export interface ActParts {
  readonly credentials: Pick<CredentialSource, 'status' | 'acts'>
  readonly audit: Pick<Audit, 'event'>
  readonly deps: Pick<Deps, 'clock' | 'log'>
}

/** `credentials` on the control socket: what is asked, recorded, and answered without a secret. Rejects with a message for people. */
export const createCredentialAct =
  (parts: ActParts): ((body: Body) => Promise<unknown>) =>
  async body => {
    const role = String(body['role'] ?? '')
    const why = plain(String(body['why'] ?? ''))
    switch (body['act']) {
      case 'status':
        return { roles: parts.credentials.status() }
      case 'history':
        return actsOf(parts).history(role)
      case 'rotate':
        return rotate(parts, { role, why, keepConnections: body['keepConnections'] === true })
      case 'cut':
        return cut(parts, role, why)
      default:
        throw new Error(`unknown: credentials ${String(body['act'])}`)
    }
  }

const actsOf = ({ credentials: { acts } }: ActParts): Acts => {
  if (acts === null) throw new Error('Postern makes no credentials here: whoever writes the credentials file rotates them')
  return acts
}

const rotate = async (
  parts: ActParts,
  { role, why, keepConnections }: { readonly role: string; readonly why: string; readonly keepConnections: boolean },
): Promise<unknown> => {
  const acts = actsOf(parts)
  record(parts, 'control', { act: 'credentials rotate', role, why, keep_connections: keepConnections })
  return acts.rotate(role, keepConnections)
}

const cut = async (parts: ActParts, role: string, why: string): Promise<CutDone> => {
  const acts = actsOf(parts)
  // Before it begins: a cut that never ends must be on the record too.
  record(parts, 'cut', { act: 'begun', role, why })
  const done = await acts.cut(role, why)
  const { reached, revoked, unmarked, unlocked, unreached } = done
  const nodes = done.nodes.map(
    ({ host, loginMs, connectionMs, dataMs, open }) =>
      `${host} login ${shown(loginMs)} connection ${shown(connectionMs)} data ${shown(dataMs)} open ${open?.count ?? 'unknown'}`,
  )
  record(parts, 'cut', {
    act: 'done',
    role,
    why,
    reached,
    revoked,
    unmarked,
    unlocked: unlocked.join('; '),
    unreached,
    nodes: nodes.join('; '),
  })
  const level = reached === 'complete' && unmarked === null ? 'warn' : 'error'
  parts.deps.log[level]({ role, why, reached, revoked, unreached }, 'credentials cut')
  return done
}

const shown = (ms: number | null): string => (ms === null ? '-' : `${ms} ms`)

const record = ({ audit, deps }: ActParts, kind: 'control' | 'cut', detail: EventEntry['detail']): void =>
  audit.event({ kind, code: eventCodes[kind], time: deps.clock.now(), tenant: null, detail })

/** It stands in the audit, in Cassandra and on the terminals of whoever asks. */
const plain = (text: string): string => text.replaceAll(/\p{Cc}/gu, ' ').slice(0, 500)
