import { constants, createPrivateKey, X509Certificate } from 'node:crypto'
import { createServer as createPlainServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { createSecureContext, type SecureContextOptions, TLSSocket } from 'node:tls'
import type { SecretBytes } from '../model/secret.ts'
import { fingerprintsOf, type PeerCertificate, peerCertificate } from './peer-certificate.ts'

/** What the proxy's listener shows, and whom it trusts to vouch for the gateway's certificate. All PEM. */
export interface TlsMaterial {
  readonly certificate: string
  readonly key: SecretBytes
  /** Null: nobody; the certificate is known by its pin. */
  readonly clientCa: string | null
}

const handshakeMs = 10_000

/** What is wrong with the files, and with which; never their content. */
export const tlsFault = (
  material: TlsMaterial,
): { readonly key: 'cert-file' | 'key-file' | 'client-ca-file'; readonly message: string } | null => {
  const { certificate, key, clientCa } = material
  const fits = readable(() => new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key.open())))
  if (readable(() => fingerprintsOf(certificate)) === null) return { key: 'cert-file', message: 'the PEM certificate cannot be read.' }
  if (fits === null)
    return { key: 'key-file', message: 'holds no private key in PEM, or an encrypted one. Write the key without a password.' }
  if (!fits) return { key: 'key-file', message: 'this is not the key of the first certificate in cert-file.' }
  if (clientCa !== null && readable(() => fingerprintsOf(clientCa)) === null)
    return { key: 'client-ca-file', message: 'a certificate in it cannot be read.' }
  return readable(() => createSecureContext(contextOptions(material))) === null
    ? { key: 'cert-file', message: 'the TLS library does not take certificate and key: RSA keys need 2048 bits or more.' }
    : null
}

const readable = <T>(read: () => T): T | null => {
  try {
    return read()
  } catch {
    return null
  }
}

const contextOptions = ({ certificate, key, clientCa }: TlsMaterial): SecureContextOptions => ({
  cert: certificate,
  key: key.open(),
  // Never left out: the public authorities would vouch for everybody who owns a domain.
  ca: clientCa ?? [],
  minVersion: 'TLSv1.2',
  // A resumed session would bring along what was verified under authorities of then.
  secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
})

/**
 * The HTTP server of the proxy, over TLS where there is material. A certificate is always asked for and a bad one does not end the handshake:
 * without one the request is refused like any other, with a code and a record. HTTP/1.1 is the only protocol (RFC 7301).
 */
export const createFrontServer = (
  options: ServerOptions,
  tls: TlsMaterial | null,
  handshakeFailed: (peer: string | undefined) => void,
): Server => {
  if (tls === null) return createPlainServer(options)
  const server = createTlsServer({
    ...options,
    ...contextOptions(tls),
    requestCert: true,
    rejectUnauthorized: false,
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: handshakeMs,
  })
  // Node would pass it on as a parse error, to be answered in HTTP.
  server.removeAllListeners('tlsClientError')
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
    const peer = socket.remoteAddress
    socket.destroy()
    // Load balancers look whether the port is open by opening and closing it.
    if (error.code !== 'ECONNRESET') handshakeFailed(peer)
  })
  return server
}

/**
 * From the next handshake on. Open connections stay: what they showed is judged anew with each request, and the renewal of a certificate
 * must not cut the gateway off in the middle of one.
 */
export const renewContext = (server: Server, tls: TlsMaterial): void => {
  if ('setSecureContext' in server) (server as TlsServer).setSecureContext(contextOptions(tls))
}

/** Reads each connection's certificate once. */
export const certificateReader = (): ((socket: Duplex) => PeerCertificate | null) => {
  const known = new WeakMap<Duplex, PeerCertificate | null>()
  return socket => {
    if (!(socket instanceof TLSSocket)) return null
    const before = known.get(socket)
    if (before !== undefined) return before
    const certificate = peerCertificate(socket)
    known.set(socket, certificate)
    return certificate
  }
}
