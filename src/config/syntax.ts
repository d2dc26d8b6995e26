import { isMap, isScalar, isSeq, visit, type YAMLParseError, type YAMLWarning, type Node as YamlNode } from 'yaml'

/** Where a syntax error stands, and what to write instead: the parser's own words are about its grammar. */
export interface SyntaxFault {
  readonly offset: number
  readonly message: string
}

const likeNeighbours =
  'is not indented like those beside it; give the keys of one map the same indentation, and begin each entry of a list with "- "'
const flowText = 'a text with one of [ ] { } and "," needs quotes inside [ ] and { }; quote it, or write the list line by line'
const noValue = 'here stands no "key: value"; write a colon and a blank behind the key'

/** By words of the parser's message; the first that fits. */
const advice: readonly (readonly [words: RegExp, message: string])[] = [
  [/\btabs?\b/i, 'YAML is indented with spaces; here stands a tab. Write spaces'],
  [/Implicit keys need to be on a single line|need to be followed by map values/, noValue],
  [
    /All mapping items must start at the same column|Sequence item without - indicator|block sequence may not be used/,
    `this line ${likeNeighbours}`,
  ],
  [/between flow|Unexpected flow-|in flow (sequence|map)/, flowText],
  [
    /Alias cannot be|Anchor cannot be/,
    'a value begins with "*" or "&", which mean aliases and anchors in YAML; for every caller write anyone, for every method ANY, and quote other texts',
  ],
  [
    /Block collections are not allowed within flow/,
    'a text with "? " or "- " in it needs quotes inside [ ] and { }; quote it. A check has no "? :": write (a && b) || (!a && c)',
  ],
  [/unresolved tag/i, 'YAML reads what begins with "!" as a tag; put the text in quotes, or write it below "|"'],
  [/Plain value cannot start with .*?(\S)$/, 'a value may begin with this character only in quotes; quote it'],
  [/block-seq-ind on same line/, 'a list that is written with "- " begins on the line below its key'],
  [/Unexpected scalar at node end/, 'behind a closed value stands more text; quote the whole text, or put a line end or a comma between'],
]

/** Reads one of the parser's errors. */
export const syntaxFault = (text: string, contents: YamlNode | null, { message, pos }: YAMLParseError | YAMLWarning): SyntaxFault => {
  const [offset] = pos
  const [first = ''] = message.split('\n', 1)
  // The parser sees the end of the file; the author needs the place where the text begins.
  if (/^Missing closing/.test(first)) {
    const last = lastScalar(contents)
    return { offset: last ?? offset, message: `the text that begins here with a quote is not closed; write the same quote at its end.` }
  }
  // The parser sees where the text stops to fit, which may be lines below.
  const [, bracket] = /end with a ([\]}])/.exec(first) ?? []
  if (bracket !== undefined) {
    const [what, opening] = bracket === ']' ? (['list', '['] as const) : (['map', '{'] as const)
    const begin = openBracket(contents, text, opening, offset)
    return {
      offset: begin ?? offset,
      message: `the ${what} that begins ${begin === null ? `with "${opening}"` : 'here'} is not closed; write "${bracket}".`,
    }
  }
  if (/^Nested mappings/.test(first)) return { offset, message: `${nested(text, offset)}.` }
  const found = advice.find(([words]) => words.test(first))
  return { offset, message: found ? `${found[1]}.` : `YAML: ${first.trim()}` }
}

/** A value with ": " in it, or a value with lines below it that are deeper than its key. */
const nested = (text: string, offset: number): string => {
  const end = text.indexOf('\n', offset)
  const line = text.slice(offset, end < 0 ? undefined : end)
  return line.includes(': ') ? 'a text with ": " in it needs quotes; quote it' : `the line below ${likeNeighbours}`
}

/** Where the bracket stands that is open at `offset`, in what the parser made of the text. */
const openBracket = (contents: YamlNode | null, text: string, bracket: string, offset: number): number | null => {
  let found: number | null = null
  visit(contents, {
    Collection(_, { flow, range }) {
      const [start = offset, , end = 0] = range ?? []
      if (flow && text[start] === bracket && start < offset && end >= offset) found = Math.max(found ?? 0, start)
    },
  })
  return found
}

const lastScalar = (contents: YamlNode | null): number | null => {
  let node: unknown = contents
  while (isMap(node) || isSeq(node)) {
    const last: unknown = node.items.at(-1)
    node = isMap(node)
      ? ((last as { value: unknown; key: unknown } | undefined)?.value ?? (last as { key: unknown } | undefined)?.key)
      : last
  }
  return isScalar(node) ? (node.range?.[0] ?? null) : null
}
