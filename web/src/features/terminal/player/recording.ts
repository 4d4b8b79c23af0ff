import { fetchRecording, type ShellSession } from "@/api/shell";
import { saveTextFile } from "@/lib/download";

export async function downloadRecording({ id, started_at }: ShellSession): Promise<void> {
  const text = await fetchRecording(id);
  saveTextFile(`${started_at.slice(0, 19).replace(/\D/g, "")}-${id.slice(0, 8)}.cast`, text);
}
