import type { Credential } from '../model/credential.ts'

/** A credential as a backend reads it, from the endpoint or from a file. The only place beside the header where the password is written out. */
export const shownCredential = ({ role, username, password, generation, notAfter, nextAt }: Credential) => ({
  username,
  password: password.open(),
  role,
  generation,
  not_after: instant(notAfter),
  next_at: instant(nextAt),
})

const instant = (ms: number): string | null => (Number.isFinite(ms) ? new Date(ms).toISOString() : null)
