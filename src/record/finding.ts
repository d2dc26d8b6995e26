/** One thing that is not as Postern wrote it. */
export interface AuditFinding {
  readonly kind:
    | 'changed'
    | 'missing'
    | 'reordered'
    | 'inserted'
    | 'cut'
    | 'misplaced'
    | 'missing-chain'
    | 'checkpoint-signature'
    | 'checkpoint-edited'
  readonly chain: string
  /** Records that are concerned, as exactly as can be told; null where it is not about records. */
  readonly first: number | null
  readonly last: number | null
  readonly message: string
}
