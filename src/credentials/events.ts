import type { Finding } from '../model/finding.ts'

/** Where a rotation stopped. */
export type RotationStep = 'claim' | 'alter' | 'prove' | 'publish' | 'retire' | 'follow' | 'check' | 'cut'

/** What a provider tells the process, for audit, metrics and log. Never a secret. */
export type CredentialEvent =
  | {
      readonly kind: 'rotated'
      readonly role: string
      readonly generation: number
      readonly slot: string
      readonly ms: number
      readonly nodes: number
      /** Connections of an older generation that were open on the slot when it got its new password: named, the first few. */
      readonly late: Named
    }
  /** Made by the process that holds the lease, and handed out by this one too. */
  | { readonly kind: 'adopted'; readonly role: string; readonly generation: number; readonly owner: string }
  /** `late`: connections that were still open with the retired credential. A new password does not end them. */
  | { readonly kind: 'retired'; readonly role: string; readonly slot: string; readonly ms: number; readonly late: Named }
  /** The previous credential lives on for `ms` because backends still use it. */
  | { readonly kind: 'late'; readonly role: string; readonly slot: string; readonly ms: number; readonly late: Named }
  /** The credential that is handed out stopped working through no act of ours: its slot is given up and the other one rotated. */
  | { readonly kind: 'quarantined'; readonly role: string; readonly generation: number; readonly slot: string; readonly why: string }
  /** Its time is over and no next one could be made or read: the old one goes on being handed out. */
  | { readonly kind: 'degraded'; readonly role: string; readonly generation: number; readonly message: string }
  /** Nothing of the role is handed out any more: an operator cut it, here or elsewhere. */
  | { readonly kind: 'stopped'; readonly role: string; readonly at: number; readonly why: string }
  /** The current credential goes on being handed out; `failures` in a row. */
  | { readonly kind: 'failed'; readonly role: string; readonly step: RotationStep; readonly message: string; readonly failures: number }
  | { readonly kind: 'lease'; readonly role: string; readonly held: boolean; readonly owner: string }
  /** The hard TTL passed. Unless `kept`, nothing is handed out until a rotation succeeds. */
  | { readonly kind: 'expired'; readonly role: string; readonly generation: number; readonly kept: boolean }
  /** Somebody was given a credential outside a request: by the endpoint, or as a file. */
  | {
      readonly kind: 'handover'
      readonly role: string
      readonly generation: number
      readonly via: 'endpoint' | 'file'
      readonly to: string
    }
  | { readonly kind: 'delivery-failed'; readonly role: string; readonly via: 'file'; readonly message: string }
  | { readonly kind: 'connection'; readonly up: boolean; readonly message: string }
  /** A credentials file was read (again). With findings, the last good content stays. */
  | { readonly kind: 'file'; readonly roles: number; readonly findings: readonly Finding[] }

/** A bounded list of connections, and how many there are. Null: no node would say. */
export type Named = { readonly count: number; readonly some: readonly string[] } | null

export type Observe = (event: CredentialEvent) => void
