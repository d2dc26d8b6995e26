/** Findings of a file up to which names are guessed: a guess costs a comparison with every name, and a hostile file has thousands of wrong ones. */
export const mostGuesses = 30

/** The known word closest to what was typed, if it is close at all (edit distance up to a third of its length). */
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
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length] ?? 0
}
