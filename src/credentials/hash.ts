import { Secret } from '../model/secret.ts'

/** The least bcrypt allows. Stretching protects guessable passwords; 256 random bits are not, and every login of a backend pays for it. */
const rounds = 4
const shape = /^\$2a\$(04|10)\$[./A-Za-z0-9]{53}$/

/** 256 random bits in characters that any header, file or shell carries. Under the 72 bytes at which bcrypt cuts. */
export const newPassword = (random: (bytes: number) => Buffer): Secret => new Secret(random(32).toString('base64url'))

/**
 * The hash to send, so that Cassandra, its logs and its traces never see the password. It is compared first: Cassandra
 * accepts a damaged hash of any length, and then nobody can log in.
 */
export const hashPassword = (password: Secret): Promise<string> => hashWith(password, rounds)

/** Of a password that a person may have chosen. */
export const hashChosenPassword = (password: Secret): Promise<string> => hashWith(password, 10)

const hashWith = async (password: Secret, cost: 4 | 10): Promise<string> => {
  const { default: bcrypt } = await import('bcryptjs')
  // Cassandra takes `$2a$` alone. The two differ in name only for text below 256 bytes.
  const hash = (await bcrypt.hash(password.open(), cost)).replace('$2b$', '$2a$')
  if (!isHash(hash) || !(await bcrypt.compare(password.open(), hash))) throw new Error('bcrypt made a hash that does not verify')
  return hash
}

export const isHash = (text: string): boolean => shape.test(text)
