/** Kleene truth: a condition holds, does not hold, or cannot be told. */
export type Tri = 0 | 1 | 2
export const no = 0
export const yes = 1
export const unsure = 2

/** Which way doubt must fall. The body of an allow and the `except` of a deny grant; the others refuse. */
export type Side = 'grant' | 'refuse'

export const both = (a: Tri, b: Tri): Tri => (a === no || b === no ? no : a === unsure || b === unsure ? unsure : yes)
export const either = (a: Tri, b: Tri): Tri => (a === yes || b === yes ? yes : a === unsure || b === unsure ? unsure : no)
export const not = (a: Tri): Tri => (a === unsure ? unsure : a === yes ? no : yes)
export const told = (fact: boolean): Tri => (fact ? yes : no)
