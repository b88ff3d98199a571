// A session with Exchange is a second real PowerShell: a process of its own in no-language mode with our cmdlets alone.
#pragma warning disable
using System;
using System.Globalization;
using System.Linq;
using System.Management.Automation;
using System.Management.Automation.Remoting;
using System.Management.Automation.Runspaces;
using System.Reflection;
using System.Threading;
using System.Text.Json.Nodes;
using Exmedic.Lab;

namespace Exmedic.Lab
{
    public class ExchangeSession
    {
        public Runspace Runspace { get; set; }
        public string Name { get; set; } = "WinRM1";
        public int Id { get; set; } = 1;
        public string State => "Opened";
        public string ConfigurationName => "Microsoft.Exchange";
        public System.Diagnostics.Process Child;
    }

    // When the session's process is gone, its transport still waits a minute for an answer to "close". Nobody will
    // answer: the timers of that wait are made to fire at once.
    public static class Impatience
    {
        const BindingFlags Anything = BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

        public static void About(Runspace runspace, System.Diagnostics.Process child)
        {
            var watcher = new Thread(() =>
            {
                child.WaitForExit();
                while (true)
                {
                    Thread.Sleep(50);
                    try { Fire(runspace); } catch (Exception) { }
                }
            });
            watcher.IsBackground = true;
            watcher.Start();
        }

        static void Fire(object runspace)
        {
            object session = runspace;
            foreach (var part in new[] { "RunspacePool", "RemoteRunspacePoolInternal", "DataStructureHandler", "TransportManager" })
                session = Part(session, part);
            (Part(session, "_closeTimeOutTimer") as Timer)?.Change(0, System.Threading.Timeout.Infinite);
            var commands = ((System.Collections.IDictionary)Part(session, "_cmdTransportManagers")).Values.Cast<object>().ToList();
            foreach (var command in commands) (Part(command, "_signalTimeOutTimer") as Timer)?.Change(0, System.Threading.Timeout.Infinite);
        }

        static object Part(object of, string name)
        {
            for (var type = of.GetType(); type != null; type = type.BaseType)
            {
                if (type.GetProperty(name, Anything) is PropertyInfo property) return property.GetValue(of);
                if (type.GetField(name, Anything) is FieldInfo field) return field.GetValue(of);
            }
            return null;
        }
    }
}

namespace Microsoft.PowerShell.Commands
{
    [Cmdlet("New", "PSSession", DefaultParameterSetName = "computer")]
    public class NewPSSessionCommand : WindowsCmdlet
    {
        protected override string Command => "New-PSSession";
        [Parameter(Position = 0, ParameterSetName = "computer")] public string[] ComputerName { get; set; }
        [Parameter(Mandatory = true, Position = 0, ParameterSetName = "uri")] public Uri[] ConnectionUri { get; set; }
        [Parameter(Position = 0, ParameterSetName = "session")] public ExchangeSession[] Session { get; set; }
        [Parameter] [Credential] public PSCredential Credential { get; set; }
        [Parameter] public string[] Name { get; set; }
        [Parameter] public SwitchParameter EnableNetworkAccess { get; set; }
        [Parameter] public string ConfigurationName { get; set; }
        [Parameter(ParameterSetName = "computer")] public int Port { get; set; }
        [Parameter(ParameterSetName = "computer")] public SwitchParameter UseSSL { get; set; }
        [Parameter(ParameterSetName = "computer")] public string ApplicationName { get; set; }
        [Parameter] public int ThrottleLimit { get; set; }
        [Parameter] public PSSessionOption SessionOption { get; set; }
        [Parameter] public AuthenticationMechanism Authentication { get; set; }
        [Parameter] public string CertificateThumbprint { get; set; }
        [Parameter(ParameterSetName = "uri")] public SwitchParameter AllowRedirection { get; set; }

        void Refuse(int code, string message) => WriteError(new ErrorRecord(
            new PSRemotingTransportException(message) { ErrorCode = code }, code + ",PSSessionOpenFailed", ErrorCategory.OpenError, null));

        protected override void ProcessRecord()
        {
            var plan = World.Get(World.Root, "session");
            var server = World.Text(World.Root, "culture") ?? "en-US";
            var culture = SessionOption?.Culture?.Name ?? server;
            var uiCulture = SessionOption?.UICulture?.Name ?? server;
            World.Note("exchange session", "uri", ConnectionUri?[0], "user", Credential?.UserName, "culture", culture, "ui", uiCulture);
            if (!Begin()) return;
            if (World.Number(plan, 0, "code") != 0) { Refuse(World.Number(plan, 0, "code"), World.Text(plan, "message") ?? "Connecting to the remote server failed."); return; }
            if (Credential == null && !World.Flag(plan, "delegated")) { Refuse(-2144108387, "WinRM cannot process the request: Kerberos has no credential to hand on."); return; }
            if (Credential != null && World.Text(plan, "accepts", Credential.UserName) != Credential.GetNetworkCredential().Password)
            {
                Refuse(1326, "Connecting to the remote server failed: the user name or password is incorrect.");
                return;
            }
            WriteObject(Open(culture, uiCulture));
        }

        static ExchangeSession Open(string culture, string uiCulture)
        {
            var instance = new PowerShellProcessInstance(null, null, null, false);
            var runspace = RunspaceFactory.CreateOutOfProcessRunspace(TypeTable.LoadDefaultTypeFiles(), instance);
            runspace.Open();
            using (var shell = System.Management.Automation.PowerShell.Create())
            {
                shell.Runspace = runspace;
                var dll = typeof(NewPSSessionCommand).Assembly.Location.Replace("'", "''");
                var granted = (World.Get(World.Root, "exchange", "granted") as JsonArray).Select(one => "'" + one + "'");
                shell.AddScript(
                    "Import-Module '" + dll + "' -Cmdlet " + string.Join(",", granted) + ";" +
                    "[Exmedic.Lab.Organisation]::Begin($ExecutionContext, '" + culture + "', '" + uiCulture + "')");
                shell.Invoke();
                if (shell.Streams.Error.Count > 0) throw shell.Streams.Error[0].Exception;
            }
            Impatience.About(runspace, instance.Process);
            return new ExchangeSession { Runspace = runspace, Child = instance.Process };
        }
    }

    [Cmdlet("New", "PSSessionOption")]
    public class NewPSSessionOptionCommand : WindowsCmdlet
    {
        protected override string Command => "New-PSSessionOption";
        [Parameter] public int MaximumRedirection { get; set; }
        [Parameter] public SwitchParameter NoCompression { get; set; }
        [Parameter] public SwitchParameter NoMachineProfile { get; set; }
        [Parameter] public CultureInfo Culture { get; set; }
        [Parameter] public CultureInfo UICulture { get; set; }
        [Parameter] public int? MaximumReceivedDataSizePerCommand { get; set; }
        [Parameter] public int? MaximumReceivedObjectSize { get; set; }
        [Parameter] public OutputBufferingMode OutputBufferingMode { get; set; }
        [Parameter] public PSPrimitiveDictionary ApplicationArguments { get; set; }
        [Parameter] public int OpenTimeout { get; set; } = 180000;
        [Parameter] public int CancelTimeout { get; set; } = 60000;
        [Parameter] public int IdleTimeout { get; set; } = -1;
        [Parameter] public ProxyAccessType ProxyAccessType { get; set; }
        [Parameter] public AuthenticationMechanism ProxyAuthentication { get; set; }
        [Parameter] public PSCredential ProxyCredential { get; set; }
        [Parameter] public SwitchParameter SkipCACheck { get; set; }
        [Parameter] public SwitchParameter SkipCNCheck { get; set; }
        [Parameter] public SwitchParameter SkipRevocationCheck { get; set; }
        [Parameter] public int OperationTimeout { get; set; } = 180000;
        [Parameter] public SwitchParameter NoEncryption { get; set; }
        [Parameter] public SwitchParameter UseUTF16 { get; set; }
        [Parameter] public SwitchParameter IncludePortInSPN { get; set; }

        protected override void ProcessRecord()
        {
            if (!Begin()) return;
            WriteObject(new PSSessionOption
            {
                Culture = Culture, UICulture = UICulture, OpenTimeout = TimeSpan.FromMilliseconds(OpenTimeout),
                CancelTimeout = TimeSpan.FromMilliseconds(CancelTimeout), IdleTimeout = TimeSpan.FromMilliseconds(IdleTimeout),
                OperationTimeout = TimeSpan.FromMilliseconds(OperationTimeout),
            });
        }
    }

    [Cmdlet("Remove", "PSSession", SupportsShouldProcess = true, DefaultParameterSetName = "session")]
    public class RemovePSSessionCommand : WindowsCmdlet
    {
        protected override string Command => "Remove-PSSession";
        [Parameter(Mandatory = true, Position = 0, ValueFromPipeline = true, ParameterSetName = "session")] public ExchangeSession[] Session { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "id")] public int[] Id { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "name")] public string[] Name { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "instance")] public Guid[] InstanceId { get; set; }
        [Parameter(Mandatory = true, ParameterSetName = "computer")] public string[] ComputerName { get; set; }

        protected override void ProcessRecord()
        {
            World.Note("session removed");
            // Its process is left to whoever ends the call: a transport that is closed, or whose process was killed,
            // may wait a minute for an answer.
            Begin();
        }
    }
}
