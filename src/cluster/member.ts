// A member of the cluster, and its encoding in the store and in raft entries.

export interface Member {
  readonly id: bigint;
  /** Empty until the member published itself. */
  readonly name: string;
  readonly peerUrls: readonly string[];
  /** Empty until the member published itself. */
  readonly clientUrls: readonly string[];
  readonly isLearner: boolean;
}

interface EncodedMember {
  id: string;
  name: string;
  peerUrls: string[];
  clientUrls: string[];
  isLearner: boolean;
}

/** JSON; the id as lower-case hex. */
export function encodeMember(member: Member): Uint8Array {
  const encoded: EncodedMember = {
    id: member.id.toString(16),
    name: member.name,
    peerUrls: [...member.peerUrls],
    clientUrls: [...member.clientUrls],
    isLearner: member.isLearner,
  };
  return Buffer.from(JSON.stringify(encoded));
}

/** Reads what encodeMember wrote. Throws if it is something else: then the store is damaged. */
export function decodeMember(bytes: Uint8Array): Member {
  const encoded: unknown = JSON.parse(Buffer.from(bytes).toString());
  if (!isEncodedMember(encoded)) throw new Error("damaged member record in the store");
  return { ...encoded, id: BigInt(`0x${encoded.id}`) };
}

function isEncodedMember(value: unknown): value is EncodedMember {
  if (typeof value !== "object" || value === null) return false;
  const { id, name, peerUrls, clientUrls, isLearner } = value as Partial<EncodedMember>;
  const texts = (list: unknown) => Array.isArray(list) && list.every((item) => typeof item === "string");
  return (
    typeof id === "string" &&
    /^[0-9a-f]{1,16}$/.test(id) &&
    typeof name === "string" &&
    texts(peerUrls) &&
    texts(clientUrls) &&
    typeof isLearner === "boolean"
  );
}
