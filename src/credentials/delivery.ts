import { isLoopback } from '../config/values.ts'
import type { Credential, Unavailable } from '../model/credential.ts'

export interface Delivery {
  /** Fields for the request to the backend, name and value alternating. */
  deliver(credential: Credential): readonly string[] | Unavailable
  /** Whether a socket may carry them: its peer address as the connected socket says it, or `unix`. */
  isSafeHop(peer: string): boolean
}

/** Visible ASCII: a line end or a blank in a value would make another header, or another password. */
const plain = /^[\x21-\x7e]{1,512}$/

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
  isSafeHop: peer => peer === 'unix' || isLoopback(peer),
}

/** How a credential reaches the backend: one row each. */
export const deliveries = { header } as const satisfies Readonly<Record<string, Delivery>>
export type DeliveryKind = keyof typeof deliveries
