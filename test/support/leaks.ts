import { inspect } from 'node:util'

/** Every spelling in which a printed object, a dump or a record could show it. */
export const spellings = (secret: Buffer): string[] => {
  const hex = secret.toString('hex')
  return [
    secret.toString('latin1'),
    hex,
    secret.toString('base64').replaceAll('=', ''),
    secret.toString('base64url'),
    // As `util.inspect` prints a Buffer.
    (hex.slice(0, 40).match(/../g) ?? []).join(' '),
  ].filter(text => text.length >= 16)
}

/** Walks what `inspect` walks, and what stands behind private names, as far as a debugger's dump of one object would. */
export const printed = (value: unknown): string =>
  inspect(value, {
    depth: null,
    showHidden: true,
    maxArrayLength: null,
    maxStringLength: null,
    getters: true,
    breakLength: Number.POSITIVE_INFINITY,
  })
