import type { Scalar, ScalarType } from '../../language/claims.ts'
import { no, type Tri, yes } from '../../language/tri.ts'
import type { AxisKind, Draft, Element } from './axis.ts'

/** What stands at one place of the token. */
export type Claimed =
  | { readonly kind: 'absent' }
  /** Of no type that a policy could want. */
  | { readonly kind: 'unusable' }
  | { readonly kind: 'scalar'; readonly value: Scalar }
  | { readonly kind: 'list'; readonly item: ScalarType }

export const absent: Claimed = { kind: 'absent' }
export const unusable: Claimed = { kind: 'unusable' }
export const scalar = (value: Scalar): Claimed => ({ kind: 'scalar', value })

export const isElement = (value: Scalar): value is Element => typeof value !== 'boolean'

/** A word that is none of these. */
const unused = (named: readonly unknown[]): string => {
  let word = 'other'
  for (let i = 1; named.includes(word); i++) word = `other${i}`
  return word
}

export const issuer: AxisKind<string> = {
  write(draft, value) {
    draft.issuer = value
  },
  say: value => `issuer ${value}`,
}

export const subject: AxisKind<string> = {
  write(draft, value) {
    draft.subject = value
  },
  say: value => `subject ${value}`,
  others: named => [unused(named)],
}

export const agents: AxisKind<readonly string[]> = {
  write(draft, value) {
    draft.agents = value
  },
  say: value => (value.length === 0 ? null : `agent ${value[0]}${value.length > 1 ? ` over ${value.length} hops` : ''}`),
}

/** Nobody in between, then each named agent and another one, at each number of hops. */
export const chains = (ids: readonly string[], hops: readonly number[]): readonly (readonly string[])[] => [
  [],
  ...[...ids, unused(ids)].flatMap(id => hops.map(count => [id, ...Array.from({ length: count - 1 }, (_, i) => `hop-${i + 2}`)])),
]

export const claim = (path: readonly string[], name: string): AxisKind<Claimed> => ({
  write: ({ claims }, value) =>
    void claims.set(
      JSON.stringify(path),
      value.kind === 'scalar' ? value.value : value.kind === 'list' ? [] : value.kind === 'absent' ? undefined : {},
    ),
  say: value => (value.kind === 'scalar' ? `${name} ${value.value}` : value.kind === 'list' ? null : `${name} ${value.kind}`),
  isBare: value => value.kind === 'absent' || value.kind === 'unusable',
  others: named => {
    const scalars = named.flatMap(value => (value.kind === 'scalar' ? [value.value] : []))
    const numbers = scalars.filter(value => typeof value === 'number')
    return [
      ...(scalars.some(value => typeof value === 'string') ? [scalar(unused(scalars))] : []),
      ...(numbers.length > 0 ? [scalar(Math.max(...numbers) + 1)] : []),
      ...[absent, unusable],
    ]
  },
})

/** `age` is written into the draft; the time is known only when it is complete. */
export const age: AxisKind<number | null> = {
  write(draft, value) {
    draft.age = value
  },
  say: value => (value === null ? 'sign-in not said' : value < 0 ? `signed in ${-value / 1000}s ahead` : `signed in ${value / 1000}s ago`),
}

export const now: AxisKind<number> = {
  write(draft, value) {
    draft.now = value
  },
  say: value => `at ${new Date(value).toISOString()}`,
}

export const address: AxisKind<string | null> = {
  write(draft, value) {
    draft.address = value
  },
  say: value => value ?? 'address unknown',
  isBare: value => value === null,
}

export const header = (name: string): AxisKind<readonly string[]> => ({
  write: ({ headers }, values) => {
    for (const value of values) headers.push([name, value])
  },
  say: values => (values.length === 0 ? null : values.map(value => `header ${name}: ${value}`).join(', ')),
  others: named => [[unused(named.flat())]],
})

/** Raw pairs of a parameter: each value, none that can be decoded, and each where only a server that separates by `;` finds it. */
export const pairsOf = (name: string, values: readonly string[]): readonly string[] => {
  const parameter = encodeURIComponent(name.toWellFormed())
  // No request can spell half a surrogate pair.
  const raw = [...values.filter(value => value.isWellFormed()).map(encodeURIComponent), '', '%FF']
  return [...raw.map(value => `${parameter}=${value}`), ...raw.map(value => `;${parameter}=${value}`)]
}

export const query = (name: string): AxisKind<readonly string[]> => ({
  write: (draft, pairs) => void draft.query.push(...pairs),
  say: () => null,
  others: named => pairsOf(name, [unused(named.flat().map(pair => pair.slice(pair.indexOf('=') + 1)))]).map(pair => [pair]),
})

/** A name that cannot be decoded. */
export const broken: AxisKind<boolean> = {
  write: (draft, value) => {
    if (value) draft.query.push('%FF')
  },
  say: () => null,
}

export const check = (key: string, text: string): AxisKind<Tri> => ({
  write: (draft: Draft, value) => void draft.checks.set(key, value),
  say: value => `\`${text}\` ${value === yes ? 'true' : value === no ? 'false' : 'an error'}`,
})
