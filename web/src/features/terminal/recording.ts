import { fetchRecording, type ShellSession } from "@/api/shell";
import { saveText } from "@/lib/save";

export async function downloadRecording({ id, started_at }: ShellSession): Promise<void> {
  const text = await fetchRecording(id);
  saveText(`${started_at.slice(0, 19).replace(/\D/g, "")}-${id.slice(0, 8)}.cast`, text);
}
