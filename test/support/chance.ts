/** Mulberry32: the seed in the title of a failing test repeats it. */
export const chance = (seed: number) => {
  let state = seed
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
  const below = (n: number): number => Math.floor(next() * n)
  const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T
  const some = <T>(items: readonly T[], most: number): T[] => Array.from({ length: 1 + below(most) }, () => pick(items))
  return { below, pick, some, maybe: (percent: number): boolean => next() * 100 < percent }
}
export type Chance = ReturnType<typeof chance>
