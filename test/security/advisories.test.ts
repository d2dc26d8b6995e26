import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The rows of the table of published advisories that this project is held to; the table itself is not part of the repository. */
const rows = Array.from({ length: 42 }, (_, i) => `T${i + 1}`)

const numbersIn = (text: string): string[] => text.match(/\bT\d{1,2}\b/g) ?? []

/** In names of tests, that is: of `it`, `describe` and the first column of `it.each`. */
const tested = new Set(
  readdirSync(import.meta.dirname)
    .filter(name => name.endsWith('.test.ts'))
    .map(name => readFileSync(join(import.meta.dirname, name), 'utf8'))
    .flatMap(text =>
      [...text.matchAll(/^\s*(?:it|describe|it\.each\S*|\]\)|\[)\(?\s*(['`"])(T\d.*?)\1/gm)].flatMap(([, , title]) =>
        numbersIn(title ?? ''),
      ),
    ),
)
const architecture = readFileSync(resolve(import.meta.dirname, '../../src/ARCHITECTURE.md'), 'utf8')
const excused = [...architecture.matchAll(/^\| (T\d{1,2}) \| \S/gm)].map(row => row[1] ?? '')

describe('every published advisory', () => {
  it.each(rows)('%s is the name of a test of this folder, or one line of ARCHITECTURE.md says why there is nothing to test', row => {
    expect(tested.has(row) !== excused.includes(row)).toBe(true)
  })

  it('is one that the table has', () => {
    expect([...tested, ...excused].filter(row => !rows.includes(row))).toEqual([])
  })
})
