import type { HidePath } from '../../../../src/model/obligation.ts'

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/** A member is named by the way from the root to it; an array's elements by number. */
type Way = readonly (string | number)[]

/** Whether a path leads to this member. Knows nothing of bytes, trees or frames. */
export const leadsTo = ({ steps }: HidePath, way: Way): boolean => {
  const [first] = steps
  if (first?.kind === 'anywhere') return way.at(-1) === first.name
  return (
    typeof way.at(-1) === 'string' &&
    steps.length === way.length &&
    steps.every((step, i) => step.kind === 'each' || (step.kind === 'member' && step.name === way[i]))
  )
}

/** The value without the members that a path leads to, by walking what was parsed. */
export const without = (value: Json, paths: readonly HidePath[], way: Way = []): Json => {
  if (Array.isArray(value)) return value.map((element: Json, i) => without(element, paths, [...way, i]))
  if (typeof value !== 'object' || value === null) return value
  // Not an object literal: a member may be called __proto__.
  const kept = Object.entries(value).filter(([name]) => !paths.some(path => leadsTo(path, [...way, name])))
  return Object.fromEntries(kept.map(([name, member]) => [name, without(member as Json, paths, [...way, name])]))
}

/** Whether a name stands twice in one object of a text that `JSON.parse` takes, and how deep it nests. */
export const shapeOf = (text: string): { readonly repeats: boolean; readonly depth: number } => {
  const open: (Set<string> | null)[] = []
  let repeats = false
  let depth = 0
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? []
  for (const [i, token] of tokens.entries()) {
    if (token === '{' || token === '[') open.push(token === '{' ? new Set() : null)
    else if (token === '}' || token === ']') open.pop()
    else if (tokens[i + 1] === ':') {
      const name = JSON.parse(token) as string
      repeats ||= open.at(-1)?.has(name) === true
      open.at(-1)?.add(name)
    }
    depth = Math.max(depth, open.length)
  }
  return { repeats, depth }
}
