import { both, either, no, not, type Tri, unsure, yes } from '../language/tri.ts'

/** The values that a condition may have, where what it reads is not fully known: a set of `Tri`, one bit each. */
export type Mask = number

const all: readonly Tri[] = [no, yes, unsure]

export const only = (value: Tri): Mask => 1 << value
export const any: Mask = only(no) | only(yes) | only(unsure)
export const never: Mask = only(no)
export const always: Mask = only(yes)

export const can = (mask: Mask, value: Tri): boolean => (mask & only(value)) !== 0

const lifted =
  (combine: (a: Tri, b: Tri) => Tri) =>
  (a: Mask, b: Mask): Mask => {
    let out = 0
    for (const x of all) if (can(a, x)) for (const y of all) if (can(b, y)) out |= only(combine(x, y))
    return out
  }

/** Kleene logic over sets. Two conditions that read the same unknown fact are taken as independent: the result may only be too wide. */
export const bothOf = lifted(both)
export const eitherOf = lifted(either)
export const notOf = (mask: Mask): Mask => all.reduce<Mask>((out, value) => (can(mask, value) ? out | only(not(value)) : out), 0)
