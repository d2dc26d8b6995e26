/** What the demo cannot go on without; told to people as it is. */
export class DemoFault extends Error {}

export type Say = (line: string) => void
