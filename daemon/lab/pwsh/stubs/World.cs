// The played world: one JSON document that is read, and a journal of lines to which every effect is appended.
#pragma warning disable
using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.IO;
using System.Linq;
using System.Management.Automation;
using System.Text;
using System.Text.Json.Nodes;

namespace Exmedic.Lab
{
    public static class World
    {
        static JsonObject root;
        static readonly Dictionary<string, int> calls = new Dictionary<string, int>();

        public static JsonObject Root => root ??= JsonNode.Parse(
            File.ReadAllText(Environment.GetEnvironmentVariable("EXMEDIC_STUBS_WORLD"))).AsObject();

        // Whether somebody writes the document anew while the script runs, so that time passes in it as it does here.
        public static bool Lives => Flag(Root, "lives");

        // What is read from now on is as it is now.
        public static void Look() { if (Lives) root = null; }

        public static string Here => (string)Root["host"];

        // The Windows side of a server, by full or short name; null for one that is not there.
        public static JsonObject Host(string name = null)
        {
            name = name ?? Here;
            if (name == "." || name == "localhost") name = Here;
            foreach (var pair in Root["hosts"].AsObject())
                if (Same(pair.Key, name)) return pair.Value.AsObject();
            return null;
        }

        public static bool Same(string one, string other) =>
            one != null && other != null && (Eq(one, other) || Eq(Short(one), Short(other)) &&
            (!one.Contains('.') || !other.Contains('.')));

        public static bool Eq(string one, string other) => string.Equals(one, other, StringComparison.OrdinalIgnoreCase);

        public static string Short(string name) => name.Split('.')[0];

        public static JsonNode Get(JsonNode node, params string[] path)
        {
            foreach (var part in path)
            {
                if (!(node is JsonObject found)) return null;
                node = found.FirstOrDefault(pair => Eq(pair.Key, part)).Value;
            }
            return node;
        }

        public static string Text(JsonNode node, params string[] path) => Get(node, path)?.ToString();

        public static int Number(JsonNode node, int otherwise, params string[] path) =>
            Get(node, path) == null ? otherwise : int.Parse(Get(node, path).ToString());

        public static bool Flag(JsonNode node, params string[] path) => Get(node, path)?.ToString() == "true";

        static void Write(string kind, string what, object[] fields)
        {
            var line = new JsonObject { [kind] = what };
            for (var i = 0; i + 1 < fields.Length; i += 2)
                line[(string)fields[i]] = fields[i + 1] == null ? null : JsonValue.Create(fields[i + 1]?.ToString());
            var bytes = Encoding.UTF8.GetBytes(line.ToJsonString() + "\n");
            using (var file = new FileStream(Environment.GetEnvironmentVariable("EXMEDIC_STUBS_JOURNAL"),
                FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) file.Write(bytes, 0, bytes.Length);
        }

        // Something was changed, or may have been.
        public static void Effect(string what, params object[] fields) => Write("effect", what, fields);

        // Something was asked for and provably not done.
        public static void Refused(string what, params object[] fields) => Write("refused", what, fields);

        public static void Note(string what, params object[] fields) => Write("note", what, fields);

        // The fault that is planned for this call of a command, if any: `call` counts from 1, without one it is every.
        public static JsonNode Fault(JsonNode faults, string command)
        {
            var number = calls[command] = calls.GetValueOrDefault(command) + 1;
            if (!(Get(faults, command) is JsonArray planned)) return null;
            return planned.FirstOrDefault(one => Number(one, number, "call") == number);
        }

        public static bool Planned(JsonNode fault, string part) => Get(fault, part) != null;

        public static void KillIf(JsonNode fault, string moment)
        {
            if (Text(fault, "kill") != moment) return;
            System.Diagnostics.Process.GetCurrentProcess().Kill();
            System.Threading.Thread.Sleep(-1);
        }

        // With Z it is UTC, with an offset local time, without one of no kind: as .NET's round trip has it.
        public static DateTime When(string text) => DateTime.Parse(text, System.Globalization.CultureInfo.InvariantCulture,
            System.Globalization.DateTimeStyles.RoundtripKind);

        // JSON as CIM and events would hand it over.
        public static object Value(JsonNode node)
        {
            if (node == null) return null;
            if (node is JsonArray list) return list.Select(Value).ToArray();
            if (node is JsonObject record)
            {
                if (record["$date"] != null) return When((string)record["$date"]);
                if (record.ContainsKey("$pid")) return (uint)Environment.ProcessId;
                return Record(record);
            }
            var value = node.AsValue();
            if (value.TryGetValue<bool>(out var flag)) return flag;
            if (value.TryGetValue<long>(out var number))
                return number >= 0 && number <= uint.MaxValue ? (object)(uint)number : number;
            return value.ToString();
        }

        public static PSObject Record(JsonObject record, object around = null)
        {
            var made = around == null ? new PSObject() : new PSObject(around);
            foreach (var pair in record) made.Properties.Add(new PSNoteProperty(pair.Key, Value(pair.Value)));
            return made;
        }
    }

    // What a planned error becomes.
    public static class Problem
    {
        public static Exception Of(JsonNode error)
        {
            var message = World.Text(error, "message") ?? "It went wrong.";
            switch (World.Text(error, "type"))
            {
                case "CimException":
                    return new Microsoft.Management.Infrastructure.CimException(message,
                        World.Text(error, "native") ?? "Failed", World.Text(error, "message_id") ?? "");
                case "Win32Exception": return new Win32Exception(World.Number(error, 5, "code"), message);
                case "InvalidOperation/Win32":
                    return new InvalidOperationException(message, new Win32Exception(World.Number(error, 5, "code")));
                case "Unauthorized": return new UnauthorizedAccessException(message);
                case "Security": return new System.Security.SecurityException(message);
                case "COM": return new System.Runtime.InteropServices.COMException(message, unchecked((int)0x80070005));
                case "EventLog": return new System.Diagnostics.Eventing.Reader.EventLogException(message);
                case "NotFound": return new Microsoft.Exchange.Configuration.Tasks.ManagementObjectNotFoundException(message);
                case "ADTransient": return new Microsoft.Exchange.Data.Directory.ADTransientException(message);
                case "CommandNotFound": return new CommandNotFoundException(message);
                case "InvalidData": return new Microsoft.Exchange.Data.Directory.DataValidationException(message);
                default: return new InvalidOperationException(message);
            }
        }

        public static ErrorRecord Record(JsonNode error)
        {
            var exception = Of(error);
            var id = World.Text(error, "id") ?? (exception as Microsoft.Management.Infrastructure.CimException)?.MessageId;
            var category = World.Text(error, "category") ?? "NotSpecified";
            return new ErrorRecord(exception, id == null || id == "" ? "Planned" : id,
                (ErrorCategory)Enum.Parse(typeof(ErrorCategory), category), null);
        }
    }

    // A cmdlet of the Windows side, with the faults that are planned for it.
    public abstract class WindowsCmdlet : PSCmdlet
    {
        protected abstract string Command { get; }
        protected virtual JsonObject Target => World.Host();

        // False: the planned fault has taken the cmdlet's place.
        protected bool Begin(string detail = null)
        {
            // What Windows PowerShell 3.0 does not know: it came with 4.0, 5.0 and 7.
            foreach (var late in new[] { "PipelineVariable", "InformationAction", "InformationVariable", "ProgressAction" })
                if (MyInvocation.BoundParameters.ContainsKey(late))
                    throw new ParameterBindingException($"A parameter cannot be found that matches parameter name '{late}'.");
            foreach (var name in detail == null ? new[] { Command } : new[] { Command, Command + ":" + detail })
            {
                var fault = World.Fault(World.Get(Target, "faults"), name);
                if (fault == null) continue;
                if (World.Text(fault, "warning") is string warning) WriteWarning(warning);
                World.KillIf(fault, "before");
                var error = World.Get(fault, "error");
                if (error != null)
                {
                    if (World.Flag(error, "terminating")) ThrowTerminatingError(Problem.Record(error));
                    WriteError(Problem.Record(error));
                    return false;
                }
                if (World.Get(fault, "rows") is JsonArray rows)
                {
                    foreach (var row in rows) WriteObject(World.Value(row));
                    return false;
                }
            }
            return true;
        }
    }
}
