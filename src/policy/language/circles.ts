/** Definitions that lead back to themselves, or are too many names deep, with what to say about each. */
export const circles = (definitions: ReadonlyMap<string, readonly string[]>, deepest = 4): ReadonlyMap<string, string> => {
  const faults = new Map<string, string>()
  const depths = new Map<string, number>()
  const path = new Set<string>()
  const depth = (name: string): number => {
    const known = depths.get(name)
    if (known !== undefined) return known
    path.add(name)
    let most = 0
    for (const next of definitions.get(name) ?? []) {
      if (!path.has(next)) most = Math.max(most, depth(next))
      // The first circle alone: a thousand names that all name each other would be a million circles of a thousand names.
      else if (!faults.has(name)) faults.set(name, `"${name}" leads back to itself (${circle([...path], next)}). Remove one of the names.`)
    }
    path.delete(name)
    depths.set(name, most + 1)
    if (most >= deepest && !faults.has(name))
      faults.set(name, `"${name}" is ${most + 1} names deep; at most ${deepest} are read. Write the inner names here.`)
    return most + 1
  }
  for (const name of definitions.keys()) depth(name)
  return faults
}

const mostShown = 8

const circle = (path: readonly string[], start: string): string => {
  const names = path.slice(path.indexOf(start))
  const shown = names.length > mostShown ? [...names.slice(0, mostShown / 2), '...', ...names.slice(-mostShown / 2)] : names
  return [...shown, start].join(' -> ')
}
