import { type ASTNode, Environment, ParseError } from '@marcbachmann/cel-js'
import type { Problem } from './environment.ts'

export type Syntax = ASTNode

/** Only parses: nothing is registered in it and nothing evaluated by it. The depth bounds its recursion on hostile text. */
const parser = new Environment({ limits: { maxDepth: 64 } })

export const parseSyntax = (text: string): Syntax | Problem => {
  try {
    return parser.parse(text).ast
  } catch (fault) {
    if (fault instanceof ParseError) return problemOf(text, fault)
    throw fault
  }
}

const problemOf = (text: string, { code, range }: ParseError): Problem => {
  const at = Math.min(range?.start ?? 0, text.length)
  if (code === 'limit_exceeded') return { at, number: 507, message: 'brackets are nested too deep here; write the parts side by side.' }
  const found = text.slice(at, range?.end ?? at)
  const message = advice[code]?.(clip(found)) ?? unexpected(found)
  return { at, number: 501, message }
}

const unexpected = (found: string): string => {
  if (found.trim() === '') return 'the expression ends too early; close every bracket, and write both sides of each operator.'
  const offer = operators.get(found) ?? 'remove it, or join two conditions with && or ||'
  return `"${clip(found)}" cannot stand here; ${offer}.`
}

const operators: ReadonlyMap<string, string> = new Map([
  ['=', 'write == to compare'],
  ['&', 'write && for "and"'],
  ['|', 'write || for "or"'],
  ['in', "write ['in'] to read a name that is a word of the language"],
])

const badEscape = (found: string): string => `${found} is no escape; write "\\\\" for a backslash, or r'...' around a pattern.`
const notClosed = (): string => 'a text is not closed; write its closing quote on the same line.'
const notNumber = (found: string): string => `${found} is not a number; write for example 3 or 3.5.`

const advice: Readonly<Record<string, (found: string) => string>> = {
  unterminated_string: notClosed,
  unterminated_triple_quoted_string: notClosed,
  newline_in_string: notClosed,
  invalid_unicode_escape: badEscape,
  invalid_unicode_surrogate: badEscape,
  invalid_hex_escape: badEscape,
  invalid_octal_escape: badEscape,
  octal_escape_out_of_range: badEscape,
  invalid_escape_sequence: badEscape,
  invalid_number: notNumber,
  invalid_exponent: notNumber,
  invalid_integer: notNumber,
  invalid_hex_integer: notNumber,
  reserved_identifier: found => `${found} is a reserved word; it names nothing here. Remove it.`,
  invalid_macro_argument: () => 'a loop begins with the name of one item; write list.exists(item, item == ...).',
}

export const clip = (text: string): string => (text.length > 40 ? `${text.slice(0, 37)}...` : text)

/** Parts of a node, whatever the language says of it. */
export const partsOf = (node: Syntax): readonly Syntax[] => {
  switch (node.op) {
    case 'value':
    case 'id':
      return []
    case '.':
    case '.?':
      return [node.args[0]]
    case 'call':
      return node.args[1]
    case 'rcall':
      return [node.args[1], ...node.args[2]]
    case 'map':
      return node.args.flat()
    case '!_':
    case '-_':
      return [node.args]
    default:
      return node.args
  }
}
