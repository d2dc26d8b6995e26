import type { Finding } from '../model/finding.ts'

/** Where a rotation stopped. */
export type RotationStep = 'claim' | 'alter' | 'prove' | 'publish' | 'retire' | 'follow'

/** What a provider tells the process, for audit, metrics and log. Never a secret. */
export type CredentialEvent =
  | {
      readonly kind: 'rotated'
      readonly role: string
      readonly generation: number
      readonly slot: string
      readonly ms: number
      readonly nodes: number
    }
  /** Made by the process that holds the lease, and handed out by this one too. */
  | { readonly kind: 'adopted'; readonly role: string; readonly generation: number; readonly owner: string }
  | { readonly kind: 'retired'; readonly role: string; readonly slot: string; readonly ms: number }
  /** The current credential goes on being handed out; `failures` in a row. */
  | { readonly kind: 'failed'; readonly role: string; readonly step: RotationStep; readonly message: string; readonly failures: number }
  | { readonly kind: 'lease'; readonly role: string; readonly held: boolean; readonly owner: string }
  /** The hard TTL passed: nothing is handed out until a rotation succeeds. */
  | { readonly kind: 'expired'; readonly role: string; readonly generation: number }
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

export type Observe = (event: CredentialEvent) => void
