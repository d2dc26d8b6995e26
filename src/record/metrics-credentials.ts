import type { CredentialStatus } from '../model/credential.ts'
import type { Gauge } from './metrics-asked.ts'

/** Roles are bounded by the policies; above the bound the first by name are shown. */
export const registerCredentials = (gauge: Gauge, bound: number, all: () => readonly CredentialStatus[]): void => {
  const each = (name: string, help: string, value: (status: CredentialStatus) => number | null): void =>
    gauge(`postern_credential_${name}`, help, ['role'], () =>
      all()
        .slice(0, bound)
        .flatMap(status => {
          const found = value(status)
          return found === null ? [] : [[{ role: status.role }, found]]
        }),
    )
  each('generation', 'Generation of the credential handed out.', status => status.generation)
  each('expiry_timestamp_seconds', 'When the credential handed out stops being promised.', status => status.notAfter / 1000)
  each('connections_on_previous', 'Connections that were opened with an older credential.', status => status.onPrevious)
  gauge('postern_credential_info', 'State of each role.', ['role', 'state'], () =>
    all()
      .slice(0, bound)
      .map(({ role, state }) => [{ role, state }, 1]),
  )
}
