/** What a key of a record tells an editor. */
interface Described {
  readonly shape: { readonly schema: Readonly<Record<string, unknown>> }
  readonly doc: string
  readonly required: boolean
  readonly initial: unknown
  readonly restart: boolean
}

/** JSON Schema of a map with known keys. */
export const recordSchema = (fields: Readonly<Record<string, Described>>): Readonly<Record<string, unknown>> => ({
  type: 'object',
  additionalProperties: false,
  required: Object.entries(fields)
    .filter(([, field]) => field.required)
    .map(([key]) => key),
  properties: Object.fromEntries(
    Object.entries(fields).map(([key, field]) => [
      key,
      {
        ...field.shape.schema,
        description: field.restart ? `${field.doc} Needs a restart.` : field.doc,
        ...(isPlain(field.initial) ? { default: field.initial } : {}),
      },
    ]),
  ),
})

const isPlain = (value: unknown): boolean => typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
