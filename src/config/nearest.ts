/** The known word closest to what was typed, if it is close at all (edit distance up to a third of its length; two letters swapped are one edit). */
export const nearest = (typed: string, known: readonly string[]): string | null => {
  let best: string | null = null
  let least = Number.POSITIVE_INFINITY
  for (const word of known) {
    const distance = typed.length > 64 ? Number.POSITIVE_INFINITY : editDistance(typed.toLowerCase(), word.toLowerCase())
    if (distance < least && distance <= Math.max(1, Math.floor(word.length / 3) + 1)) {
      best = word
      least = distance
    }
  }
  return best
}

const editDistance = (a: string, b: string): number => {
  let before: readonly number[] = []
  let row: readonly number[] = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY
      const changed = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, changed, swapped))
    }
    before = row
    row = next
  }
  return row[b.length] ?? 0
}
