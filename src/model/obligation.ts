/** One member that is removed from JSON replies (policy 4.5): `$.a.b`, `$.a[*].b`, `$[*].a`, `$..name`. */
export interface HidePath {
  readonly text: string
  /** From the root of the reply. The last step names the member that goes. */
  readonly steps: readonly HideStep[]
}

export type HideStep =
  | { readonly kind: 'member'; readonly name: string }
  /** Every element of an array and every value of an object (RFC 9535 section 2.3.2). */
  | { readonly kind: 'each' }
  /** A member of this name at any depth from here; only ever the single step of `$..name`. */
  | { readonly kind: 'anywhere'; readonly name: string }

/** A token bucket of `amount`, refilled evenly over `seconds`. */
export interface Limit {
  /** As written: `20/min per caller`. */
  readonly text: string
  readonly amount: number
  readonly seconds: number
  readonly per: 'tenant' | 'caller' | 'agent'
  /** Whose count this is: the platform's and the tenant's `always` count over all rules, `then` counts for its rule. */
  readonly over: 'platform' | 'tenant' | 'rule'
}

/** What must be done to a request that was allowed. Everything adds up: platform, tenant's `always`, rule's `then`. */
export interface Obligations {
  readonly hide: readonly HidePath[]
  readonly limits: readonly Limit[]
}

export const noObligations: Obligations = { hide: [], limits: [] }

/** The same path or limit, asked for twice, is one. */
export const merged = (above: Obligations, below: Obligations): Obligations =>
  isEmpty(below)
    ? above
    : isEmpty(above)
      ? below
      : {
          hide: [...new Map([...above.hide, ...below.hide].map(path => [path.text, path])).values()],
          limits: [...new Map([...above.limits, ...below.limits].map(limit => [`${limit.over} ${limit.text}`, limit])).values()],
        }

/** As text: what a record, a comparison and a person see of them. Two limits of the same text may count over different rules. */
export interface SpelledObligations {
  readonly hide: readonly string[]
  readonly limits: readonly string[]
}

export const spelledObligations = ({ hide, limits }: Obligations): SpelledObligations => ({
  hide: hide.map(path => path.text),
  limits: limits.map(limit => `${limit.text}${limit.over === 'rule' ? '' : ` over all rules of the ${limit.over}`}`),
})

const isEmpty = ({ hide, limits }: Obligations): boolean => hide.length === 0 && limits.length === 0
