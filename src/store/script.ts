import { type CassandraSession, CqlFault } from '../model/cassandra.ts'

const token = /--[^\n]*|\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$\$[\s\S]*?\$\$|:([a-z][a-z0-9_]*)|;|[\s\S]/g

/**
 * Splits a CQL file into statements, without comments. `:name` stands for a value and becomes a quoted literal, so a file
 * holds no secret and no value can end its own statement. A name without a value is an error: it would run half a file.
 */
export const statements = (text: string, values: Readonly<Record<string, string>> = {}): readonly string[] => {
  const found: string[] = []
  let current = ''
  for (const [piece, name] of text.matchAll(token)) {
    if (/^(--|\/\/|\/\*)/.test(piece)) current += ' '
    else if (name !== undefined) current += literal(name, values)
    else if (piece !== ';') current += piece
    else {
      found.push(current.trim())
      current = ''
    }
  }
  return [...found, current.trim()].filter(statement => statement !== '')
}

const literal = (name: string, values: Readonly<Record<string, string>>): string => {
  const value = Object.hasOwn(values, name) ? values[name] : undefined
  if (value === undefined) throw new Error(`the CQL file asks for :${name}, which has no value`)
  return `'${value.replaceAll("'", "''")}'`
}

/** Runs a file statement by statement. It may have run before, wholly or in part: every statement of ours can be repeated. */
export const runScript = async (
  session: Pick<CassandraSession, 'execute'>,
  text: string,
  values: Readonly<Record<string, string>> = {},
): Promise<number> => {
  const all = statements(text, values)
  for (const statement of all) {
    try {
      await session.execute(statement)
    } catch (error) {
      if (!isRepeatedGrant(error)) throw new CqlFault(codeOf(error), `${headline(statement)}: ${messageOf(error)}`)
    }
  }
  return all.length
}

/** Granting a role a second time is the one statement without IF NOT EXISTS. */
const isRepeatedGrant = (error: unknown): boolean =>
  error instanceof CqlFault && error.code === 0x2200 && error.message.includes('is a member of')

/** Names the statement without what follows WITH: a hash may stand there. */
const headline = (statement: string): string => (statement.split(/\sWITH\s/i, 1)[0] ?? '').trim().replaceAll(/\s+/g, ' ').slice(0, 120)
const codeOf = (error: unknown): number | null => (error instanceof CqlFault ? error.code : null)
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))
