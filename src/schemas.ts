import type { JsonSchema } from './config/shape.ts'
import { platformName } from './policy/language/names.ts'
import { documentSchema } from './policy/language/read.ts'
import { testSchema } from './policy/tests/file.ts'
import { configShape } from './settings.ts'

const dialect = 'http://json-schema.org/draft-07/schema#'

/**
 * JSON Schemas for editors, by the name of the file that holds each: draft 7, which editors of YAML know best. Made from the shapes that read
 * the files. They know less than the reader: names, addresses and whatever depends on another line or file are left to \`check\`.
 */
export const editorSchemas = (): ReadonlyMap<string, JsonSchema> =>
  new Map<string, JsonSchema>([
    [
      'policy-v1.json',
      {
        $schema: dialect,
        title: 'Postern policy/v1',
        if: { properties: { tenant: { const: platformName } }, required: ['tenant'] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema; no schema is ever awaited
        then: documentSchema(true),
        else: documentSchema(false),
      },
    ],
    ['policy-test-v1.json', { $schema: dialect, title: 'Postern policy-test/v1', ...testSchema() }],
    ['config-v1.json', { $schema: dialect, title: 'Postern config/v1', ...configShape.schema }],
  ])
