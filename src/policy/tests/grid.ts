import { bad, type Context, fail, type Shape } from '../../config/shape.ts'
import type { Node, Source } from '../../config/source.ts'
import type { Effect } from '../../model/decision.ts'
import type { Spot } from '../language/scope.ts'
import { unknownTestName } from './caller.ts'

/** What a test expects: of what is enforced, and whether shadow rules would make it wider or narrower. */
export interface Outcome {
  readonly effect: Effect
  readonly shadow: '+' | '-' | ''
}

const effects: readonly Effect[] = ['deny', 'step-up', 'allow']
export const width = (effect: Effect): number => effects.indexOf(effect)

/** Nothing is wider than allow or narrower than deny. */
const signs = { deny: ['', '+'], 'step-up': ['', '+', '-'], allow: ['', '-'] } as const

/** Every outcome by its spelling. */
export const outcomes: ReadonlyMap<string, Outcome> = new Map(
  effects.flatMap(effect => signs[effect].map((shadow): [string, Outcome] => [`${effect}${shadow}`, { effect, shadow }])),
)

export interface Cell extends Outcome {
  readonly caller: string
  readonly request: string
  readonly spot: Spot
}

export interface TestNames {
  readonly callers: ReadonlySet<string>
  readonly requests: ReadonlySet<string>
}

const maxRows = 1000
/** Faults of one grid that are kept. */
const maxFaults = 100

interface Word {
  readonly text: string
  readonly spot: Spot
}

/** Reads `grid`. `lines` are those of the whole file: only they tell where in the block a word stands. */
export const gridShape = (lines: readonly string[], names: TestNames): Shape<readonly Cell[]> => ({
  schema: { type: 'string', description: 'A literal block: "request" and callers in the first row, then a row for each request.' },
  read(node, at) {
    const rows = rowsOf(node, at, lines)
    if (rows === null) return fail(at, node, 702, 'the grid is not a literal block; write "grid: |" and the rows below it, indented.')
    const [head, ...body] = rows
    if (head === undefined || head[0]?.text !== 'request')
      return fail(at, node, 702, 'the grid has no first row; begin it with "request" and the names of callers.')
    if (body.length > maxRows) return fail(at, node, 110, `the grid has ${body.length} rows; at most ${maxRows} are read. Split the file.`)
    const grid = new Grid(at.source, names)
    grid.head(head)
    for (const row of body) grid.row(row)
    return grid.failed ? bad : grid.cells
  },
})

const rowsOf = (node: Node, at: Context, lines: readonly string[]): readonly (readonly Word[])[] | null => {
  if (node.kind !== 'scalar' || typeof node.value !== 'string') return null
  const { line, column } = at.source.position(node.offset)
  if (lines[line - 1]?.[column - 1] !== '|') return null
  return node.value
    .split('\n')
    .map((text, index) => (text.trim() === '' ? [] : wordsOf(lines[line + index] ?? '', line + index + 1)))
    .filter(row => row.length > 0)
}

const wordsOf = (line: string, number: number): readonly Word[] =>
  [...line.matchAll(/\S+/g)].map(found => ({ text: found[0], spot: { line: number, column: found.index + 1 } }))

class Grid {
  readonly cells: Cell[] = []
  #faults = 0
  readonly #source: Source
  readonly #names: TestNames
  readonly #seen = new Set<string>()
  #callers: readonly Word[] = []

  get failed(): boolean {
    return this.#faults > 0
  }

  constructor(source: Source, names: TestNames) {
    this.#source = source
    this.#names = names
  }

  head(words: readonly Word[]): void {
    this.#callers = words.slice(1)
    const seen = new Set<string>()
    for (const word of this.#callers) {
      if (!this.#names.callers.has(word.text))
        this.#fail(word, 701, unknownTestName(this.#source, 'caller', word.text, this.#names.callers))
      if (seen.has(word.text)) this.#fail(word, 702, `${word.text} has a column already; remove one.`)
      seen.add(word.text)
    }
  }

  row(words: readonly Word[]): void {
    const [request, ...cells] = words
    if (request === undefined) return
    if (!this.#names.requests.has(request.text))
      this.#fail(request, 701, unknownTestName(this.#source, 'request', request.text, this.#names.requests))
    if (this.#seen.has(request.text)) this.#fail(request, 702, `${request.text} has a row already; remove one.`)
    this.#seen.add(request.text)
    if (cells.length !== this.#callers.length)
      this.#fail(
        request,
        702,
        `the row has ${cells.length} cells for ${this.#callers.length} callers; write one for each, "." for not tested.`,
      )
    for (const [index, cell] of cells.entries()) this.#cell(request.text, this.#callers[index]?.text, cell)
  }

  #cell(request: string, caller: string | undefined, { text, spot }: Word): void {
    if (text === '.' || caller === undefined) return
    const outcome = outcomes.get(text)
    if (outcome !== undefined) this.cells.push({ caller, request, ...outcome, spot })
    else
      this.#fail(
        { text, spot },
        703,
        `"${text}" is not an expectation; write allow, step-up or deny, behind it "+" or "-" where shadow rules would make it wider or narrower, or ".".`,
      )
  }

  #fail({ spot }: Word, number: number, message: string): void {
    this.#faults++
    if (this.#faults > maxFaults) return
    this.#source.findings.push({ file: this.#source.file, ...spot, severity: 'error', code: `P${number}`, message })
  }
}
