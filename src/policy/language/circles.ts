const shown = 8

const spelled = (path: readonly string[]): string =>
  (path.length <= shown ? path : [...path.slice(0, shown - 2), '...', path.at(-1)]).join(' -> ')

/** Definitions that lead back to themselves, or are too many names deep, with what to say about each. */
export const circles = (definitions: ReadonlyMap<string, readonly string[]>, deepest = 4): ReadonlyMap<string, string> => {
  const faults = new Map<string, string>()
  const depths = new Map<string, number>()
  const depth = (name: string, path: readonly string[]): number => {
    const known = depths.get(name)
    if (known !== undefined) return known
    const here = [...path, name]
    let most = 0
    for (const next of definitions.get(name) ?? []) {
      const start = here.indexOf(next)
      if (start >= 0)
        faults.set(name, `"${name}" leads back to itself (${spelled([...here.slice(start), next])}). Remove one of the names.`)
      else most = Math.max(most, depth(next, here))
    }
    depths.set(name, most + 1)
    if (most >= deepest && !faults.has(name))
      faults.set(name, `"${name}" is ${most + 1} names deep; at most ${deepest} are read. Write the inner names here.`)
    return most + 1
  }
  for (const name of definitions.keys()) depth(name, [])
  return faults
}
