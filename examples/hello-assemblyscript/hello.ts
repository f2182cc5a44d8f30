import { Request, Response, serve } from "terrane";

export function run(): void {
  serve((req: Request): Response => {
    const name = req.param("name") || "world";
    return Response.text(200, `Hello, ${name} from AssemblyScript!\n`);
  });
}
