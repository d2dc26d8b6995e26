import { isLoopback } from '../config/values.ts'
import type { Credential, RecipientKey, Unavailable } from '../model/credential.ts'
import { type Sealer, seal, unlimitedMs } from './seal.ts'

/** The backend that a credential is for. */
export interface Recipient {
  /** Name of the upstream. */
  readonly name: string
  /** Of delivery jwe. */
  readonly key: RecipientKey | null
}

type Fields = readonly string[] | Unavailable

export interface Delivery {
  /**
   * Fields for the request to the backend, name and value alternating; none where the backend fetches the credential itself. A promise only where
   * the credential is new and must be sealed first.
   */
  deliver(credential: Credential, to: Recipient): Fields | Promise<Fields>
  /** Whether a socket may carry them: its peer address as the connected socket says it, or `unix`; and whether TLS protects it. */
  isSafeHop(peer: string, encrypted: boolean): boolean
}

export const deliveryKinds = ['header', 'jwe', 'endpoint', 'file'] as const
export type DeliveryKind = (typeof deliveryKinds)[number]

/** Visible ASCII: a line end or a blank in a value would make another header, or another password. */
const plain = /^[\x21-\x7e]{1,512}$/

const isLocal = (peer: string): boolean => peer === 'unix' || isLoopback(peer)

const header: Delivery = {
  deliver: ({ role, username, password, generation, notAfter }) => {
    const secret = password.open()
    // A file that something else writes may hold anything. What is wrong is named, never shown.
    for (const [what, value] of Object.entries({ username, password: secret }))
      if (!plain.test(value))
        return { unavailable: 'credential-unavailable', detail: `the ${what} of ${role} has characters that no header may carry` }
    return [
      ...['x-postern-cassandra-username', username],
      ...['x-postern-cassandra-password', secret],
      ...['x-postern-cassandra-role', role],
      ...['x-postern-cassandra-generation', String(generation)],
      ...(Number.isFinite(notAfter) ? ['x-postern-cassandra-expires', new Date(notAfter).toISOString()] : []),
    ]
  },
  // The password is in the clear: it leaves the machine under no circumstances. A name or a configured address proves nothing, a connected socket does.
  isSafeHop: isLocal,
}

/** One header with a sealed credential; the same bytes for every request of a generation, so that sealing costs a generation and not a request. */
const jwe = (deps: DeliveryDeps): Delivery => {
  const sealed = new WeakMap<Credential, Map<string, Sealed>>()
  const make = async (credential: Credential, by: Sealer, { name, key }: Recipient): Promise<Fields> => {
    if (key === null) return unavailable(`${name} has no key to seal for`)
    return ['x-postern-cassandra-credential', await seal(credential, by, key, name, deps.now())]
  }
  return {
    deliver(credential, to) {
      const by = deps.sealer()
      if (by === null) return unavailable('there is no key to sign with')
      const known = sealed.get(credential)?.get(to.name)
      if (known !== undefined && known.by === by && known.key === to.key && deps.now() < known.until) return known.fields
      const fields = make(credential, by, to)
      const entry: Sealed = { by, key: to.key, until: deps.now() + unlimitedMs / 2, fields }
      const entries = sealed.get(credential) ?? new Map<string, Sealed>()
      sealed.set(credential, entries.set(to.name, entry))
      fields.then(
        done => {
          entry.fields = done
        },
        () => entries.delete(to.name),
      )
      return fields
    },
    isSafeHop: (peer, encrypted) => encrypted || isLocal(peer),
  }
}

interface Sealed {
  readonly by: Sealer
  readonly key: RecipientKey | null
  readonly until: number
  fields: Fields | Promise<Fields>
}

/** The backend asks for its credential itself, or reads a file: no request carries one. */
const fetched: Delivery = { deliver: () => [], isSafeHop: () => true }

const unavailable = (detail: string): Unavailable => ({ unavailable: 'credential-unavailable', detail })

export interface DeliveryDeps {
  /** Milliseconds since the epoch. */
  now(): number
  /** Of the configuration in force; the same object until its key changes. */
  sealer(): Sealer | null
}

/** How a credential reaches the backend: one row each. */
export const createDeliveries = (deps: DeliveryDeps) =>
  ({ header, jwe: jwe(deps), endpoint: fetched, file: fetched }) as const satisfies Readonly<Record<DeliveryKind, Delivery>>
