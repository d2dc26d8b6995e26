import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { editorSchemas } from '../src/schemas.ts'
import { exit, type Io } from './io.ts'

export const help = `
postern schema policy|policy-test|config
postern schema -o DIR

Prints the JSON Schema of one kind of file, or writes all three into a folder: policy-v1.json, policy-test-v1.json, config-v1.json.
An editor with a YAML language server completes keys and marks mistakes in a file that begins with
  # yaml-language-server: $schema=./schema/policy-v1.json
where the path leads from the file to the schema. What depends on other lines or files, only postern check knows.
  -o, --out DIR     the folder; it is made if it is not there
`

export const run = async (args: string[], io: Io): Promise<number> => {
  const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { out: { type: 'string', short: 'o' } } })
  const schemas = [...editorSchemas()].map(([name, schema]) => [name, `${JSON.stringify(schema, null, 2)}\n`] as const)
  const { out } = values
  if (out !== undefined && positionals.length === 0) {
    await mkdir(out, { recursive: true })
    for (const [name, text] of schemas) await writeFile(join(out, name), text)
    io.out(`${schemas.map(([name]) => join(out, name)).join('\n')}\n`)
    return exit.done
  }
  const found = schemas.find(([name]) => name === `${positionals[0]}-v1.json`)
  if (out !== undefined || positionals.length !== 1 || !found) {
    io.err('postern schema: name one of policy, policy-test and config, or write all with -o DIR.\n')
    return exit.usage
  }
  io.out(found[1])
  return exit.done
}
